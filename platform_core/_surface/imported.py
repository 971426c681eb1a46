"""What other modules build on: hooks, names to import, contracts and events."""

from __future__ import annotations

import enum
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from platform_core._surface.part import KERNEL, Part
from platform_core._surface.published import PUBLISHED
from platform_core.deprecations import Deprecated, deprecation_of
from platform_core.domain import Event


def hooks(owner: str) -> Iterator[Part]:
    """Yield the hooks that others may implement."""
    name = f"{owner}.hookspecs"
    if importlib.util.find_spec(name) is None:
        return
    for hook, function in vars(importlib.import_module(name)).items():
        if inspect.isfunction(function) and hasattr(function, "platform_core_spec"):
            yield Part(owner, "hooks", hook, _signature(function), deprecated=deprecation_of(function))


def names() -> Iterator[Part]:
    """Yield what modules may import of the kernel."""
    for module_name, grade in PUBLISHED.items():
        module = importlib.import_module(module_name)
        for name in _public_names(module):
            full, value = f"{module_name}.{name}", getattr(module, name)
            if not hasattr(value, "platform_core_spec"):
                for detail, says, deprecated in _described(value, KERNEL):
                    yield Part(KERNEL, "names", full, says, detail, grade, deprecated)


def contracts(module: str) -> Iterator[Part]:
    """Yield what a module's facade exports, but its events."""
    facade = importlib.import_module(module)
    for name in getattr(facade, "__all__", ()):
        value = getattr(facade, name)
        if not (inspect.isclass(value) and issubclass(value, Event)):
            for detail, says, deprecated in _described(value, module):
                yield Part(module, "contracts", f"{module}.{name}", says, detail, deprecated=deprecated)


def events(module: str) -> Iterator[Part]:
    """Yield the events in a module's contracts."""
    if importlib.util.find_spec(f"{module}.contracts") is None:
        return
    for value in vars(importlib.import_module(f"{module}.contracts")).values():
        is_event = inspect.isclass(value) and issubclass(value, Event)
        if is_event and value.__module__.startswith(module) and "wire_name" in vars(value):
            name, deprecated = value.wire_name, deprecation_of(value)
            yield Part(module, "events", name, f"version {value.wire_version}", deprecated=deprecated)
            for field in fields(value):
                yield Part(module, "events", name, str(field.type), f" {field.name}")


def _public_names(module: Any) -> list[str]:
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    )


def _described(value: Any, package: str) -> Iterator[tuple[str, str, Deprecated | None]]:
    """Yield a thing itself and what can be used of it, each as detail, description and deprecation."""
    if not inspect.isclass(value):
        yield (
            "",
            _signature(value) if inspect.isfunction(value) else f"a {type(value).__name__}",
            deprecation_of(value),
        )
    elif value.__module__.partition(".")[0] != package:
        yield "", f"is {value.__module__}.{value.__qualname__}", None
    else:
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield "", f"class ({bases})", deprecation_of(value)
        for name, says in (*_values(value), *_members(value)):
            yield f".{name}", says, deprecation_of(vars(value).get(name))


def _values(value: type[Any]) -> Iterator[tuple[str, str]]:
    if issubclass(value, enum.Enum):
        yield from ((member.name, repr(member.value)) for member in value)
    elif is_dataclass(value) and "__init__" in vars(value):
        for field in fields(value):
            is_given = field.default is not MISSING or field.default_factory is not MISSING
            yield field.name, f"{'optional' if is_given else 'required'} {field.type}"


def _members(value: type[Any]) -> Iterator[tuple[str, str]]:
    for name, member in vars(value).items():
        function = getattr(member, "__func__", member)
        if name.startswith("_") and (name != "__init__" or is_dataclass(value)):
            continue
        if isinstance(member, property) and member.fget is not None:
            yield name, f"property {_signature(member.fget)}"
        elif inspect.isfunction(function):
            yield name, _signature(function)


def _signature(function: Callable[..., Any]) -> str:
    found = inspect.signature(function)
    parameters = [
        parameter.replace(default=_plain(parameter.default)) for parameter in found.parameters.values()
    ]
    says = str(found.replace(parameters=parameters)).replace("'", "")
    return f"async {says}" if inspect.iscoroutinefunction(function) else says


class _Default:
    """Stands for a default whose text would be another one on each machine."""

    def __repr__(self) -> str:
        return "..."


def _plain(default: Any) -> Any:
    is_plain = default is inspect.Parameter.empty or isinstance(default, bool | int | float | type(None))
    return default if is_plain else _Default()
