"""
Platform Core: a small kernel that declares and verifies; plugins that are ordinary packages.

A plugin needs one name from here: `hookimpl`, the marker for its hook implementations.
Nothing heavy is imported, so a manifest or a command line can be read cheaply.
"""

from typing import Final

import pluggy

__all__ = ["ENTRY_POINT_GROUP", "PROJECT_NAME", "__version__", "hookimpl"]

__version__: Final = "0.1.0"

PROJECT_NAME: Final = "platform_core"
"""The pluggy project, and the prefix of the entry-point group."""

ENTRY_POINT_GROUP: Final = "platform_core.plugins"
"""Where a distribution announces its plugin: `user_management = "user_management.plugin"`."""

hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
"""Marks a function of a plugin as the implementation of a hook of the same name."""
