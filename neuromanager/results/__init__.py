"""What runs measured: from their files and logs to tables and pictures."""
