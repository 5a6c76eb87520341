"""Tests of neuromanager/launch/."""
