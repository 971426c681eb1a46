"""Project management on PostgreSQL, and towards its neighbours."""
