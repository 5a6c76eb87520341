"""Tests of neuromanager/status/."""
