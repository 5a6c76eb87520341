"""Tests of neuromanager/slurm/."""
