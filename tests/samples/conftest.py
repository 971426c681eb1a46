"""Samples are distributions of their own: tests/acceptance installs them and runs their tests as an author would."""

collect_ignore_glob = ["*"]
