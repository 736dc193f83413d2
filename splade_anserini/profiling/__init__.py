"""What a search costs: multiplications, entries, bytes and time."""
