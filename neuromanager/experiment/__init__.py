"""The directory on disk: its record, launches, events, runs, names and logs."""
