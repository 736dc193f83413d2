"""The cost of a search: FLOPS, active entries, size of the index, and latency."""
