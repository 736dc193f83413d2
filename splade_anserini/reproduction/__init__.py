"""Reproducing an index card: its index is built and searched, and the scores are compared with the expected ones."""
