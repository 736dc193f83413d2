"""Models that score the pairs a student learns from."""
