"""The encoder that is taken where none is named."""

DEFAULT_ENCODER = "splade-mini-v2"
"""The name of a card whose model ships with this package."""
