"""What the fault tests have in common: processes of the platform, servers that can be hurt, and the oracle."""
