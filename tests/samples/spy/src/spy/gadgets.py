"""A room that nobody knows."""
