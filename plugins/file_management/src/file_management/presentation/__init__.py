"""The routes of file management, by what they are about."""

from file_management.presentation import files, folders, resumable, sharing, versions

ROUTERS = [resumable.router, files.router, versions.router, sharing.router, folders.router]
