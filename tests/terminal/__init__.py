"""Tests of neuromanager/terminal/."""
