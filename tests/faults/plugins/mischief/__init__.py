"""A module for fault tests: its handler does to the worker what the mark says."""
