"""
House rules that ruff cannot say, as a small check over the syntax tree.

H1  A domain reads no clock and makes no randomness: `datetime.now()`, `uuid4()` and the like come in as arguments.
H2  Nobody in a plugin commits or rolls back: the command bus does, once, after the handler.
H3  A waiver (`noqa`, `type: ignore`, `nosec`, `pragma: no cover`) says why, in words on the same line.
"""

import ast
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CLOCKS: Final = {
    "now",
    "today",
    "utcnow",
    "monotonic",
    "perf_counter",
    "uuid1",
    "uuid4",
    "urandom",
    "token_hex",
}
TRANSACTION_ENDS: Final = {"commit", "rollback"}
WAIVER: Final = re.compile(r"#\s*(noqa|type:\s*ignore|nosec|pragma:\s*no cover)\b(?P<rest>.*)", re.I)
CODES: Final = re.compile(r"[:\[\]\s,]|\b[A-Z]+[0-9]+\b|\b[a-z]+(-[a-z]+)+\b(?=[\],])|(?<=\[)[a-z]+(?=\])")

Finding = tuple[int, str]


def in_domain(path: Path) -> bool:
    """
    Whether the file belongs to a plugin's domain, be it one file or a folder.
    """
    return path.match("src/*/domain.py") or "domain" in path.parent.parts[-2:]


def clock_calls(tree: ast.AST) -> Iterator[Finding]:
    """
    H1, for a file of a domain.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (name := _called(node)) in CLOCKS:
            yield node.lineno, f"H1 `{name}()` in a domain: take the value as an argument"


def transaction_ends(tree: ast.AST) -> Iterator[Finding]:
    """
    H2, for a file of a plugin.
    """
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in TRANSACTION_ENDS
        ):
            yield node.lineno, f"H2 `.{node.func.attr}()` in a plugin: the command bus ends the transaction"


def bare_waivers(path: Path) -> Iterator[Finding]:
    """
    H3, for any file.
    """
    with tokenize.open(path) as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type != tokenize.COMMENT or not (waiver := WAIVER.search(token.string)):
                continue
            if not re.search(r"[A-Za-z]{3,}", CODES.sub("", waiver["rest"])):
                yield token.start[0], f"H3 `{waiver[1]}` without a reason: say why on the same line"


def findings(path: Path) -> list[Finding]:
    """
    Everything the rules say about one file, in line order.
    """
    tree = ast.parse(path.read_text(), filename=str(path))
    found = list(bare_waivers(path))
    if path.match("plugins/*/src/**/*.py") or "plugins" in path.parts:
        found += transaction_ends(tree)
        found += clock_calls(tree) if in_domain(path) else ()
    return sorted(found)


def files(root: Path = ROOT) -> Iterator[Path]:
    """
    What ships: the kernel, the plugins' sources, Alembic's environment and the seeds.
    """
    for folder in (root / "platform_core", root / "alembic", root / "seeds", *root.glob("plugins/*/src")):
        yield from sorted(folder.rglob("*.py"))


def _called(node: ast.Call) -> str | None:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else None


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Print every finding as `file:line: rule`; exit code 1 when there is one.
    """
    paths = [Path(argument) for argument in arguments] if arguments else list(files())
    lines = [f"{path}:{line}: {text}" for path in paths for line, text in findings(path)]
    print("\n".join(lines) or f"house rules: {len(paths)} files, nothing found")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
