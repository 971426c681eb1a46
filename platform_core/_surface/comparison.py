"""What may change: whether a surface still works for who knew an earlier one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

from platform_core._surface.document import Surface


def broken(before: Surface, now: Surface, today: date) -> Iterator[str]:
    """Yield what would break somebody who built on `before`: what it is, and what to do about it."""
    for owner, kinds in before["stable"].items():
        if _is_next_major(before["versions"][owner], now["versions"].get(owner, "")):
            continue
        # an owner that had no settings may get a first one that is required
        for kind in sorted({*kinds, "settings"}):
            names = kinds.get(kind, {})
            after = now["stable"].get(owner, {}).get(kind, {})
            found = [(n, "", "is gone, or no longer stable") for n in names.keys() - after.keys()]
            found += [
                (n, *harm) for n in names.keys() & after.keys() for harm in _harm(kind, names[n], after[n])
            ]
            if kind == "settings":
                found += [
                    (n, "", _NEW) for n in after.keys() - names.keys() if after[n][""].startswith("required")
                ]
            for name, detail, happened in sorted(found):
                announced = (f"{owner} {kind} {name}", f"{owner} {kind} {name}{detail}")
                if not any(_was_announced(before, one, today) for one in announced):
                    yield f"{owner}, {kind}: {name}{detail} {happened}. {_advice(owner, before['versions'][owner])}"


def hasty(now: Surface) -> Iterator[str]:
    """Yield what is deprecated and would go before the year is over that docs/compatibility.md promises."""
    for name, told in now["deprecated"].items():
        if told["until"] is None:
            continue
        since, until = date.fromisoformat(told["since"]), date.fromisoformat(told["until"])
        if (until.year - 1, until.month, until.day) < (since.year, since.month, since.day):
            yield f"{name} is deprecated since {since} and would go on {until}. Leave it for a year at least."


def _harm(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for detail, said in before.items():
        if detail not in after:
            yield detail, "is gone"
        elif not is_compatible(kind, said, after[detail]):
            yield detail, f"was `{said}` and is `{after[detail]}`"
    for detail in after.keys() - before.keys():
        if after[detail].startswith("required") and not _is_inside_of_new(detail, before, after):
            yield detail, _NEW


_NEW: Final = "is new and required: who does not know it fails"


def _is_inside_of_new(detail: str, before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    """Tell whether a required field belongs to an object that is itself new, and may be left out."""
    outer = detail.rpartition(".")[0]
    return outer in after and outer not in before


def _was_announced(before: Surface, name: str, today: date) -> bool:
    until = before["deprecated"].get(name, {}).get("until")
    return until is not None and date.fromisoformat(until) <= today


def _is_next_major(before: str, now: str) -> bool:
    return bool(now) and _majors(now) > _majors(before)


def _majors(version: str) -> tuple[int, ...]:
    """Return the part that a breaking release raises: the first number, and while that is 0 the second, too."""
    first, second = (int(number) for number in version.split(".")[:2])
    return (first,) if first else (first, second)


def _advice(owner: str, version: str) -> str:
    next_major = f"{m[0] + 1}.0.0" if len(m := _majors(version)) == 1 else f"0.{m[1] + 1}.0"
    return (
        "Leave it as it was and declare it Deprecated (docs/compatibility.md); or, where it cannot wait, raise"
        f" {owner} to version {next_major}"
    )


def is_compatible(kind: str, before: str, now: str) -> bool:
    """
    Tell whether something that changed still works for who knew it as it was.

    What was required may become optional, a version of an event may rise (its upcasters see to the old ones; fields are
    told one by one), and a function may take more, as long as nobody has to give it.
    """
    if before == now or (
        before.startswith("required") and now == f"optional{before.removeprefix('required')}"
    ):
        return True
    if kind == "events" and before.startswith("version ") and now.startswith("version "):
        return int(now.split()[1]) > int(before.split()[1])
    return _is_function(before) and _is_function(now) and _takes_more(before, now)


def _is_function(says: str) -> bool:
    """Tell a function from a property, a class or a constant: where one became another, nobody can go on as before."""
    return says.removeprefix("async ").startswith("(")


def _takes_more(before: str, now: str) -> bool:
    if before.startswith("async ") != now.startswith("async "):
        return False
    (old, old_returns), (new, new_returns) = _arguments(before), _arguments(now)
    if old_returns != new_returns:
        return False
    kept = [name for name in new if name in old]
    is_kept = kept == list(old) and all(_is_wider(old[name], new[name]) for name in old)
    return is_kept and all(has_default for name, (_, has_default, _) in new.items() if name not in old)


def _is_wider(old: tuple[str, bool, bool], new: tuple[str, bool, bool]) -> bool:
    return old[0] == new[0] and (new[1] or not old[1]) and (old[2] == new[2] or not new[2])


def _arguments(signature: str) -> tuple[dict[str, tuple[str, bool, bool]], str]:
    """Return name → (annotation, has a default, by keyword only) of a signature, and what it returns."""
    source = re.sub(r"^async ", "", signature)
    function = ast.parse(f"def f{source}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)  # noqa: S101  # it was written as one
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults = len(positional) - len(given.defaults)
    found = {
        one.arg: (ast.unparse(one.annotation) if one.annotation else "", index >= defaults, False)
        for index, one in enumerate(positional)
    }
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        found[one.arg] = (ast.unparse(one.annotation) if one.annotation else "", default is not None, True)
    for star, rest in (("*", given.vararg), ("**", given.kwarg)):
        if rest is not None:
            found[f"{star}{rest.arg}"] = (
                ast.unparse(rest.annotation) if rest.annotation else "",
                True,
                False,
            )
    return found, ast.unparse(function.returns) if function.returns else ""
