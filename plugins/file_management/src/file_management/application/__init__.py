"""The use cases of file management, by what they are about."""
