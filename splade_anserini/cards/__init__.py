"""TOML cards that describe encoders, their training, and indexes, and how a name finds one."""
