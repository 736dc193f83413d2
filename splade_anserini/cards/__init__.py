"""Cards: TOML files that describe encoders, their training, and indexes, and the lookup of one by its name."""
