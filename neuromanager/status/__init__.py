"""What became of runs."""
