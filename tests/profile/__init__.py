"""Tests of neuromanager/profile/."""
