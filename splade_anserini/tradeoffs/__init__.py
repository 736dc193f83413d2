"""What is lost when searches are made cheaper: settings, each measured, and those that nothing beats."""
