"""Tests of neuromanager/snapshot/."""
