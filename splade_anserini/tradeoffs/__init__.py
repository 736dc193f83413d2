"""Effectiveness–efficiency trade-offs: static pruning, query pruning, quantization and two-step search, measured."""
