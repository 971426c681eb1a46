"""
Write the import contracts from the installed plugins and check them: no plugin can be forgotten.

    uv run nox -s imports                                            check
    uv run python tools/import_contracts.py --print                  show the contracts
    PYTHONPATH=… uv run python tools/import_contracts.py --plugin NAME    add a package no entry point announces

The contracts are `docs/architecture.md` in a form a machine can refuse: which room may import which. Import-linter only
reads source, nothing of a plugin is executed.
"""

import argparse
import configparser
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Final

from platform_core._conformance.rooms import FACES, OUTSIDE_WORLD, PLUGIN_ROOMS, PRIVATE_ROOMS, VENDORS

ENTRY_POINT_GROUP: Final = "platform_core.plugins"

KERNEL_ROOMS: Final = (
    # Top to bottom, imports go down only. A new file of the kernel is placed here before it is imported anywhere.
    "_conformance",
    "testing",
    "__main__",
    "cli",
    "dev",
    "_surface",
    "_documentation",
    "_modules",
    "serve : _http_server : _http_protocol : _watchdog",
    "app",
    "_checks : _offers",
    "_declared",
    "_health : _operations",
    "_module_operations : _projection_operations : _saga_operations",
    "worker : scheduler",
    "_seeds",
    "http : _migrations : migrations",
    "_sagas : _projections",
    "_bus",
    "_messages",
    "_audit : _outbox : _wiring : _replica : copies",
    "_switches : signals : standings : storage : cache : tasks : outbound : _broker",
    "_uow : _tables : _gauges",
    "db",
    "_pools",
    "_pool",
    "_statements",
    "_development : _production",
    "_trial",
    "_hooks",
    "_discovery : embedded : mailcatcher",
    "_manifest : _deadline : _start_marks : _lean",
    "logs : metrics : tracing : keys : clock",
    "hookspecs",
    "settings",
    "_environment : _pins",
    "declarations",
    "context",
    "security",
    "ports",
    "deprecations : money : texts",
    "errors",
    "domain",
)


@dataclass(frozen=True)
class Package:
    """
    An importable package, seen from its files.
    """

    name: str
    folder: Path

    @classmethod
    def find(cls, name: str) -> "Package":
        """
        Locate a package without importing it.
        """
        spec = util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(f"{name}: there is no such package on the path")
        return cls(name, Path(next(iter(spec.submodule_search_locations))))

    def rooms(self) -> list[str]:
        """
        The names directly under the package, files and folders alike.
        """
        files = {path.stem for path in self.folder.glob("*.py") if path.stem != "__init__"}
        folders = {path.parent.name for path in self.folder.glob("*/__init__.py")}
        return sorted(files | folders)

    def having(self, rooms: Iterable[str]) -> list[str]:
        """
        The dotted names of those rooms that exist.
        """
        present = set(self.rooms())
        return [f"{self.name}.{room}" for room in rooms if room in present]

    def modules(self) -> Iterator[str]:
        """
        Every module below the package's root.
        """
        for path in sorted(self.folder.rglob("*.py")):
            parts = path.relative_to(self.folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if parts and all(part.isidentifier() for part in parts):
                yield ".".join((self.name, *parts))


def installed_plugins() -> list[str]:
    """
    The import packages behind the entry points, sorted.
    """
    return sorted(
        {point.module.partition(".")[0] for point in metadata.entry_points(group=ENTRY_POINT_GROUP)}
    )


def kernel_contracts(kernel: Package, plugins: Sequence[Package]) -> Iterator[dict[str, object]]:
    """
    What holds for the kernel.
    """
    yield {
        "name": "Kernel: imports go down only",
        "type": "layers",
        "containers": [kernel.name],
        "layers": [" : ".join(f"({room})" for room in layer.split(" : ")) for layer in KERNEL_ROOMS],
        "exhaustive": True,
        "broken_contract_guidance": "A new room of the kernel gets its place in tools/import_contracts.py.",
    }
    if plugins:
        yield {
            "name": "Kernel: knows no plugin",
            "type": "forbidden",
            "source_modules": [kernel.name],
            "forbidden_modules": [plugin.name for plugin in plugins],
        }
    if pure := kernel.having(("domain", "errors", "money", "ports")):
        yield {
            "name": "Kernel: the shared domain knows no vendor",
            "type": "forbidden",
            "source_modules": pure,
            "forbidden_modules": VENDORS,
        }


def plugin_contracts(plugin: Package, kernel: Package) -> Iterator[dict[str, object]]:
    """
    What holds for each plugin.
    """
    name = plugin.name
    yield {
        "name": f"{name}: imports go down only",
        "type": "layers",
        "containers": [name],
        "layers": PLUGIN_ROOMS,
        "exhaustive": True,
        "exhaustive_ignores": ["migrations"],
        "broken_contract_guidance": "Every line has a room (docs/architecture.md); there is no room for helpers.",
    }
    inner = [module for module in plugin.modules() if not _within(module, f"{name}.contracts")]
    yield {
        "name": f"{name}: the facade re-exports contracts and nothing else",
        "type": "forbidden",
        "source_modules": [name],
        "forbidden_modules": inner,
        "as_packages": False,
        "allow_indirect_imports": True,
    }
    if private := plugin.having(PRIVATE_ROOMS):
        yield {
            "name": f"{name}: private rooms",
            "type": "protected",
            "protected_modules": private,
            "allowed_importers": [name],
            "broken_contract_guidance": f"Others import from the facade: `from {name} import …`.",
        }
    if inner_rooms := plugin.having(FACES):
        yield {
            "name": f"{name}: rules and use cases know no vendor",
            "type": "forbidden",
            "source_modules": inner_rooms,
            "forbidden_modules": VENDORS,
        }
    if domain := plugin.having(("contracts", "domain")):
        yield {
            "name": f"{name}: the domain stays true without a computer",
            "type": "forbidden",
            "source_modules": domain,
            "forbidden_modules": OUTSIDE_WORLD,
            "allow_indirect_imports": True,
        }
    yield from _faces(plugin, kernel)


def _faces(plugin: Package, kernel: Package) -> Iterator[dict[str, object]]:
    for room, allowed in FACES.items():
        source = plugin.having([room])
        others = kernel.having(other for other in kernel.rooms() if other not in allowed)
        if source and others:
            yield {
                "name": f"{plugin.name}.{room}: sees {', '.join(sorted(allowed))} of the kernel",
                "type": "forbidden",
                "source_modules": source,
                "forbidden_modules": others,
                "allow_indirect_imports": True,
            }
    if engine_room := kernel.having(room for room in kernel.rooms() if room.startswith("_")):
        yield {
            "name": f"{plugin.name}: leaves the kernel's engine room alone",
            "type": "forbidden",
            "source_modules": [plugin.name],
            "forbidden_modules": engine_room,
            "allow_indirect_imports": True,
        }


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def contracts(plugins: Sequence[str]) -> str:
    """
    The configuration of import-linter for the kernel and these plugins.
    """
    kernel, packages = Package.find("platform_core"), [Package.find(name) for name in plugins]
    roots = [kernel.name, *plugins]
    found = list(kernel_contracts(kernel, packages))
    for package in packages:
        found += plugin_contracts(package, kernel)
    found.append({"name": "No cycles between siblings", "type": "acyclic_siblings", "ancestors": roots})

    config = configparser.ConfigParser(interpolation=None)
    options = {
        "root_packages": roots,
        "include_external_packages": True,
        "exclude_type_checking_imports": True,
    }
    config["importlinter"] = {key: _option(value) for key, value in options.items()}
    for number, contract in enumerate(found):
        config[f"importlinter:contract:{number}"] = {key: _option(value) for key, value in contract.items()}
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _option(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "\n" + "\n".join(value)
    return str(value)


def check(plugins: Sequence[str]) -> int:
    """
    Run import-linter on these plugins.

    Returns: its exit code, 0 when every contract is kept.
    """
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "contracts.ini"
        config.write_text(contracts(plugins))
        # Import-linter looks for packages on its own path; the script's folder is not on it, this one's entries are.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = ["lint-imports", "--config", str(config), "--no-logo", "--no-cache"]
        return subprocess.run(command, check=False, env=environment).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Check (or print) the contracts; exit code 0 when they are kept, 1 when one is broken.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--plugin", action="append", default=[], help="a further plugin package on the path")
    parser.add_argument("--print", action="store_true", help="print the contracts and check nothing")
    options = parser.parse_args(arguments)
    plugins = sorted({*installed_plugins(), *options.plugin})
    if options.print:
        print(contracts(plugins))
        return 0
    return check(plugins)


if __name__ == "__main__":
    sys.exit(main())
