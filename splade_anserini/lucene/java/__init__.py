"""The Java virtual machine: finding, starting and calling it."""
