"""A real HTCondor for tests."""
