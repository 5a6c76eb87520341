"""Hosts that are reached by ssh: what an experiment has there, and what of it is brought here."""
