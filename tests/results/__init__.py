"""Tests of neuromanager/results/."""
