"""A module for fault tests: marks over HTTP, and one visible effect for each time that an event is handled."""
