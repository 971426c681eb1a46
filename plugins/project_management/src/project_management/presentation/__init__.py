"""The routes of project management, by what they are about."""

from project_management.presentation import comments, members, planning, projects, tasks

ROUTERS = [projects.router, members.router, tasks.router, comments.router, planning.router]
