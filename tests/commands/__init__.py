"""Tests of neuromanager/commands/."""
