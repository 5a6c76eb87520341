"""Tests of neuromanager/sweep/."""
