"""What can be done with projects, by what it is done to."""
