"""The same routes as teams usually write them: on SQLAlchemy Core, and on its ORM."""
