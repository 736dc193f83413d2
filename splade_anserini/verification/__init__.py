"""Checking what this package makes beside a reference: today the vectors of encoders."""
