"""What a run is worth, and whether another one is better: measures, tests, tables, pictures."""
