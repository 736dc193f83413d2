"""Parsing of lines, JSON and fields, whatever kind of file they come from."""
