"""
The facade of `project_management`: what other modules may import, which is what its contracts list.
"""

from project_management.contracts import *  # noqa: F403  # the list is kept in one place
from project_management.contracts import __all__ as __all__
