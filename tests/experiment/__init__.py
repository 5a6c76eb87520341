"""Tests of neuromanager/experiment/."""
