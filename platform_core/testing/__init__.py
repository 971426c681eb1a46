"""The published test kit: a pytest plugin with real servers, a running platform, and conformance suites for adapters."""
