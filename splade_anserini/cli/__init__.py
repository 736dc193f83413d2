"""What the commands share: options, error messages, progress bars."""
