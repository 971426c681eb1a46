"""What `notification` does, grouped by what it does it to; ports are in `ports`."""
