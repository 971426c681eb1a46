"""PostgreSQL, bcrypt and JSON Web Tokens behind the ports of `application`."""
