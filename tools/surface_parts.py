"""
What the published surface consists of, found in the code; `surface.py` writes it down and compares.
"""

from __future__ import annotations

import ast
import enum
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import metadata
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import reference
from pydantic import BaseModel

from platform_core import hookspecs
from platform_core._conformance.published import PUBLISHED
from platform_core.cli import _plugins
from platform_core.cli._root import root
from platform_core.cli._session import assembled_environment, load_kernel
from platform_core.deprecations import Deprecated, deprecation_of
from platform_core.domain import Event
from platform_core.errors import DomainError
from platform_core.http.problems import STATUS
from platform_core.settings import KernelSettings, variable_name

KERNEL: Final = "platform_core"


@dataclass(frozen=True, slots=True)
class Part:
    """
    One thing that somebody may have built on.

    Attributes:
        owner: `platform_core`, or a shipped module.
        kind: of `KINDS` in docs/compatibility.md.
        detail: what of the thing, such as ` --json` of a command or `.get` of a class; empty for the thing itself.
        says: what is promised of it; begins with `required` or `optional` where that is a part of it.
    """

    owner: str
    kind: str
    name: str
    says: str
    detail: str = ""
    grade: Literal["stable", "provisional"] = "stable"
    deprecated: Deprecated | None = None


def versions() -> dict[str, str]:
    """Return the version of each owner's distribution."""
    found = {KERNEL: metadata.version("platform-core")}
    for name in reference.SHIPPED:
        found[name] = metadata.version(f"platform-plugin-{name.replace('_', '-')}")
    return found


def parts() -> Iterator[Part]:
    """Yield everything that is published."""
    yield from _hooks()
    yield from _imports()
    yield from _contracts()
    yield from _events()
    yield from _problems()
    yield from _settings()
    yield from _commands()
    yield from _http_and_permissions()


# ── What modules build on ────────────────────────────────────────────────────────────────────────


def _hooks() -> Iterator[Part]:
    modules = [(KERNEL, hookspecs)]
    for plugin in reference.SHIPPED:
        modules += [(plugin, module) for _, module in reference._published_hooks(plugin)]
    for owner, module in modules:
        for name, function in vars(module).items():
            if inspect.isfunction(function) and hasattr(function, "platform_core_spec"):
                yield Part(owner, "hooks", name, _signature(function), deprecated=deprecation_of(function))


def _imports() -> Iterator[Part]:
    for module_name, grade in PUBLISHED.items():
        module = importlib.import_module(module_name)
        for name in _public_names(module):
            full, value = f"{module_name}.{name}", getattr(module, name)
            if not hasattr(value, "platform_core_spec"):
                for detail, says, deprecated in _described(value, KERNEL):
                    yield Part(KERNEL, "names", full, says, detail, grade, deprecated)


def _contracts() -> Iterator[Part]:
    for plugin in reference.SHIPPED:
        facade = importlib.import_module(plugin)
        for name in getattr(facade, "__all__", ()):
            value = getattr(facade, name)
            if not (inspect.isclass(value) and issubclass(value, Event)):
                for detail, says, deprecated in _described(value, plugin):
                    yield Part(plugin, "contracts", f"{plugin}.{name}", says, detail, deprecated=deprecated)


def _events() -> Iterator[Part]:
    for plugin in reference.SHIPPED:
        contracts = importlib.import_module(f"{plugin}.contracts")
        for value in vars(contracts).values():
            if inspect.isclass(value) and issubclass(value, Event) and value.__module__.startswith(plugin):
                if "wire_name" not in vars(value):
                    continue
                name, deprecated = value.wire_name, deprecation_of(value)
                yield Part(plugin, "events", name, f"version {value.wire_version}", deprecated=deprecated)
                for field in fields(value):
                    yield Part(plugin, "events", name, str(field.type), f" {field.name}")


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


# ── What clients and deployers build on ──────────────────────────────────────────────────────────


def _problems() -> Iterator[Part]:
    for name in (*(f"{plugin}.plugin" for plugin in reference.SHIPPED), "platform_core.app"):
        importlib.import_module(name)
    for error in reference._descendants(DomainError):
        owner = error.__module__.partition(".")[0]
        if owner in (KERNEL, *reference.SHIPPED) and hasattr(error, "kind"):
            yield Part(owner, "problems", error.slug, str(STATUS[error.kind]))


def _settings() -> Iterator[Part]:
    yield from _fields(KERNEL, KernelSettings, lambda name: name)
    for plugin in reference.SHIPPED:
        if (model := reference._settings_model(plugin)) is not None:
            yield from _fields(plugin, model, functools.partial(variable_name, plugin))


def _fields(owner: str, model: type[BaseModel], variable: Callable[[str], str]) -> Iterator[Part]:
    for name, field in model.model_fields.items():
        says = f"{'required' if field.is_required() else 'optional'} {_kind(field.annotation)}"
        yield Part(owner, "settings", field.alias or variable(name), says, deprecated=deprecation_of(field))


def _kind(annotation: Any) -> str:
    """Write a type without what validates it."""
    origin, among = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(among[0])
    if origin in (Union, UnionType):
        return " or ".join(sorted(map(_kind, among)))
    if origin is Literal:
        return f"one of {', '.join(map(str, among))}"
    if origin is not None:
        return f"{origin.__name__} of {', '.join(map(_kind, among))}"
    return "None" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _commands() -> Iterator[Part]:
    group: Any = root()
    context = group.make_context("platform", [], resilient_parsing=True)
    owners = dict.fromkeys(group.list_commands(context), KERNEL)
    owners |= {name: one.plugin.name for name, one in _plugins.groups(reserved=()).items()}
    for name in group.list_commands(context):
        if owners[name] in (KERNEL, *reference.SHIPPED):
            command = group.get_command(context, name)
            yield from _command(owners[name], context, command, f"platform {name}")


def _command(owner: str, parent: Any, command: Any, path: str) -> Iterator[Part]:
    if hasattr(command, "list_commands"):
        context = command.make_context(path.rpartition(" ")[2], [], parent=parent, resilient_parsing=True)
        for name in command.list_commands(context):
            yield from _command(owner, context, command.get_command(context, name), f"{path} {name}")
        return
    yield Part(owner, "commands", path, "")
    for parameter in command.params:
        if parameter.name not in reference._GENERIC:
            label = min(parameter.opts, key=lambda name: (not name.startswith("--"), name))
            name = label if label.startswith("-") else f"<{label}>"
            says = f"{'required' if parameter.required else 'optional'} {_choice(parameter.type_descriptor.annotation)}"
            deprecated = deprecation_of(parameter.type_descriptor.parameter_info.callback)
            yield Part(owner, "commands", path, says, f" {name}", deprecated=deprecated)


def _choice(annotation: Any) -> str:
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return f"one of {', '.join(str(member.value) for member in annotation)}"
    return str(getattr(annotation, "__name__", annotation))


def _http_and_permissions() -> Iterator[Part]:
    source = {
        "PLATFORM_ENV": "development",
        "PLATFORM_MODULES": ",".join(reference.SHIPPED),
        "PLATFORM_STARTUP_TIMEOUT_SECONDS": "300",  # a busy machine must not leave a module out
    }
    kernel = load_kernel(assembled_environment() | source)
    if missing := {*reference.SHIPPED} - {*kernel.declared}:
        raise SystemExit(f"These modules do not start, so nothing can be said of them: {', '.join(missing)}.")
    document: dict[str, Any] = kernel.app().openapi()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield from _operation(f"{method.upper()} {path}", operation, document)
    for owner, declared in kernel.declared.items():
        for permission in declared.permissions:
            yield Part(owner if owner in reference.SHIPPED else KERNEL, "permissions", permission.name, "")


def _operation(name: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[Part]:
    owner = operation["operationId"].partition(".")[0]
    owner = owner if owner in reference.SHIPPED else KERNEL
    marked = operation.get("x-deprecation")
    says = f"{operation['operationId']} {operation.get('x-permission', '')}".strip()
    yield Part(owner, "http", name, says, deprecated=Deprecated.from_json(marked) if marked else None)
    for detail, says in (*_asked(operation, document), *_answered(operation, document)):
        yield Part(owner, "http", name, says, detail)


def _asked(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for parameter in operation.get("parameters", ()):
        if "$ref" not in parameter:
            need = "required" if parameter.get("required") else "optional"
            yield f" {parameter['in']} {parameter['name']}", f"{need} {_type(parameter['schema'], document)}"
    for field, says in _flat(_json(operation.get("requestBody", {})), document, is_request=True):
        yield f" body{field}", says


def _answered(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    general = {
        error.slug for error in reference._descendants(DomainError) if error.__module__.startswith(KERNEL)
    }
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            yield f" {status}", "answer"
            for field, says in _flat(_json(answer), document, is_request=False):
                yield f" {status}{field}", says
        for slug in answer.get("content", {}).get("application/problem+json", {}).get("examples", ()):
            if slug not in general:  # what any route may answer is among the kernel's problems
                yield f" {status} {slug}", "problem"


def _json(content: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = content.get("content", {}).get("application/json", {}).get("schema", {})
    return found


def _flat(
    schema: Mapping[str, Any], document: Mapping[str, Any], *, is_request: bool, seen: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Yield a line for each field of a body, those of bodies in it too."""
    reference_ = schema.get("$ref", "")
    if reference_ and reference_ in seen:
        return
    schema = _resolved(schema, document)
    if "items" in schema:
        yield from (
            (f"[]{field}", says)
            for field, says in _flat(
                schema["items"], document, is_request=is_request, seen=(*seen, reference_)
            )
        )
    for name, field in schema.get("properties", {}).items():
        need = ("required " if name in schema.get("required", ()) else "optional ") if is_request else ""
        yield f".{name}", f"{need}{_type(field, document)}"
        for inner in (field, *field.get("anyOf", ())):
            for below, says in _flat(inner, document, is_request=is_request, seen=(*seen, reference_)):
                yield f".{name}{below}", says


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _type(schema: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(sorted(_type(one, document) for one in schema["anyOf"]))
    schema = _resolved(schema, document)
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), document)}"
    told = str(schema.get("type", "anything"))
    return f"{told} ({schema['format']})" if "format" in schema else told


# ── What may change ──────────────────────────────────────────────────────────────────────────────


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
