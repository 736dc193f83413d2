"""How lines, JSON and fields are parsed, whatever file they are in."""
