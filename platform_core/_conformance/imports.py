"""Who imports whom, read from source: nothing of a module is executed here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from platform_core._conformance.grades import NotRun
from platform_core._conformance.subject import Subject

if TYPE_CHECKING:
    from grimp import ImportGraph

KERNEL = "platform_core"


@dataclass(frozen=True)
class Imports:
    """The imports of one module, of the kernel, and of the modules beside it."""

    subject: Subject
    graph: ImportGraph

    @classmethod
    def read(cls, subject: Subject) -> Imports:
        """
        Read them.

        Raises:
            NotRun: the library that reads them is not installed.
        """
        try:
            import grimp
        except ModuleNotFoundError as error:
            raise NotRun("imports are read by grimp: pip install 'platform-core[conformance]'") from error
        graph = grimp.build_graph(
            subject.name,
            KERNEL,
            *subject.beside,
            include_external_packages=True,
            exclude_type_checking_imports=True,
            cache_dir=None,
        )
        return cls(subject, graph)

    def own(self) -> Iterator[str]:
        """Yield the module's files, as dotted names."""
        name = self.subject.name
        yield from sorted(m for m in self.graph.modules if m == name or m.startswith(f"{name}."))

    def rooms(self) -> set[str]:
        """Return the names of its rooms: files and folders directly below its package."""
        return {module.split(".")[1] for module in self.own() if "." in module}

    def direct(self) -> Iterator[tuple[str, str]]:
        """Yield each import of the module that leads out of it: importer and what is imported."""
        for importer in self.own():
            for imported in sorted(self.graph.find_modules_directly_imported_by(importer)):
                if imported.partition(".")[0] != self.subject.name:
                    yield importer, imported

    def place(self, importer: str, imported: str) -> str:
        """Return the file and line of an import."""
        lines = [
            found["line_number"]
            for found in self.graph.get_import_details(importer=importer, imported=imported)
        ]
        root = self.subject.package.parent
        path = root.joinpath(*importer.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        shown = Path(file).relative_to(root)
        return f"{shown}:{min(lines)}" if lines else str(shown)
