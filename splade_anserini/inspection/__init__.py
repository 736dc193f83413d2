"""What a directory or file is, how far it is, and whether it is whole."""
