"""Use cases of orders: `purchase` begins one and says what its steps are, `steps` takes those that are its own."""
