"""A module for benchmarks: hears of renamed users, and leaves one row for each time."""
