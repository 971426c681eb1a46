"""The facade of trips: nobody needs anything of it."""
