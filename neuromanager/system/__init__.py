"""Processes, files, signals, text, time, JSON: no idea of runs."""
