"""A real Slurm for the tests, started and stopped by them."""
