"""Tests of neuromanager/local/."""
