"""The production topology on one machine: every server and process of it, and the clients before it."""
