"""`platform modules`: what is installed, who needs whom, whether it fits together, and new ones."""

from __future__ import annotations

import typer

from platform_core.cli.modules import _check, _frozen, _graph, _look, _new, _remove, _surface, _switch

app = typer.Typer(
    name="modules", help="The installed modules, and whether they fit together.", no_args_is_help=True
)
app.command("list", epilog="Example: platform modules list --json")(_look.list_modules)
app.command(epilog="Example: platform modules show user_management")(_look.show)
app.command(epilog="Example: platform modules graph --format svg > modules.svg")(_graph.graph)
app.command(epilog="Example: platform modules check blog-2.0.0-py3-none-any.whl")(_check.check)
app.command(epilog="Example: platform modules new blog")(_new.new)
app.command(epilog="Example: platform modules surface blog --check")(_surface.surface)
app.command(epilog="Example: platform modules disable orders --reason 'the gateway is down'")(_switch.disable)
app.command(epilog="Example: platform modules enable orders")(_switch.enable)
app.command(epilog="Example: platform modules remove orders --yes --export orders.zip")(_remove.remove)
app.command(epilog="Example: platform modules freeze > modules.txt")(_frozen.freeze)
app.command(epilog="Example: platform modules sync modules.txt --find-links wheels/ --no-index")(_frozen.sync)
