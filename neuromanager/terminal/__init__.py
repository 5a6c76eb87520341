"""What people see: standard error, options, pager, escapes, the progress bar."""
