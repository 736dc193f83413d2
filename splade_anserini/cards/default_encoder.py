"""The encoder that is taken where none is named."""

DEFAULT_ENCODER = "splade-mini"
"""The name of a card whose model ships with this package."""
