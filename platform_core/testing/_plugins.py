"""
Plugins that are found like installed ones, for the length of a test; private to the test kit.

The kernel finds plugins by the metadata of distributions. So a throw-away plugin gets real metadata in a temporary
directory on `sys.path`; nothing in the kernel knows of tests, and real processes find it too, by `PYTHONPATH`.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platform_core import ENTRY_POINT_GROUP


@dataclass(frozen=True, kw_only=True)
class PluginSource:
    """
    A plugin that is not installed.

    Example:
        PluginSource(name="greeter", files={"plugin.py": "…"}, requires=["platform-core", "platform-plugin-names>=2"])

    Attributes:
        name: of its package, entry point, schema and so on.
        directory: an existing package of that name; without one, `files` are written.
        files: path inside the package → text. `__init__.py` and `plugin.py` are empty where not given.
        manifest: the text of `plugin.toml`; None leaves the file out, which is an error the kernel must report.
        requires: `Requires-Dist` of its distribution.
        distribution: `platform-plugin-…` by default.
        entry_point: `<name>.plugin` by default.
    """

    name: str
    directory: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    manifest: str | None = 'title = "A plugin for tests"\n'
    version: str = "0.1.0"
    requires: Sequence[str] = ("platform-core",)
    distribution: str | None = None
    entry_point: str | None = None

    @classmethod
    def of(cls, source: PluginSource | Path) -> PluginSource:
        """Take a package's directory as it is, or a description."""
        return source if isinstance(source, PluginSource) else cls(name=source.name, directory=source)

    def write(self, into: Path) -> Path:
        """Write metadata, and the package where it has no directory; return what belongs on `sys.path` for it."""
        distribution = self.distribution or f"platform-plugin-{self.name.replace('_', '-')}"
        metadata = into / f"{distribution.replace('-', '_')}-{self.version}.dist-info"
        metadata.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {self.version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in self.requires]
        (metadata / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        entry_point = self.entry_point or f"{self.name}.plugin"
        (metadata / "entry_points.txt").write_text(
            f"[{ENTRY_POINT_GROUP}]\n{self.name} = {entry_point}\n", encoding="utf-8"
        )
        if self.directory is not None:
            return self.directory.parent
        self._write_package(into / entry_point.partition(".")[0])
        return into

    def _write_package(self, package: Path) -> None:
        package.mkdir(exist_ok=True)
        for name, text in ({"__init__.py": "", "plugin.py": ""} | dict(self.files)).items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if self.manifest is not None:
            (package / "plugin.toml").write_text(self.manifest, encoding="utf-8")


@contextlib.contextmanager
def plugins_installed(*sources: PluginSource | Path, into: Path) -> Iterator[list[Path]]:
    """
    Make plugins discoverable in this process for the length of the block.

    Modules of written ones are forgotten afterwards; those of existing directories stay imported, as installed ones do.

    Args:
        into: where to write; made if missing.

    Yields: what was put on `sys.path`; give it to child processes as `PYTHONPATH`.
    """
    plugins = [PluginSource.of(source) for source in sources]
    into.mkdir(parents=True, exist_ok=True)
    paths = list(dict.fromkeys([*(plugin.write(into) for plugin in plugins), into]))
    added = [str(path) for path in paths if str(path) not in sys.path]
    sys.path.extend(added)
    importlib.invalidate_caches()
    try:
        yield paths
    finally:
        for path in added:
            sys.path.remove(path)
        _forget({plugin.name for plugin in plugins if plugin.directory is None})
        importlib.invalidate_caches()


def _forget(packages: set[str]) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] in packages:
            del sys.modules[name]
