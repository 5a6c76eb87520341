"""Tests of neuromanager/system/."""
