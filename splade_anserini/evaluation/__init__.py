"""Evaluation of runs: measures, significance tests, tables and plots."""
