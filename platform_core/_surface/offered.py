"""What clients and deployers build on: problems, settings, commands, HTTP and permissions."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from platform_core._declared import Declared
from platform_core._documentation.canvas import descendants
from platform_core._manifest import KERNEL as THE_PLATFORM
from platform_core._surface.part import KERNEL, Part
from platform_core.deprecations import Deprecated, deprecation_of
from platform_core.errors import DomainError
from platform_core.http.problems import STATUS
from platform_core.settings import KernelSettings, variable_name

_GENERIC: Final = ("help", "install_completion", "show_completion")


def problems(owner: str) -> Iterator[Part]:
    """Yield the reasons for a refusal that are an owner's own."""
    for error in descendants(DomainError):
        if error.__module__.partition(".")[0] == owner and hasattr(error, "kind"):
            yield Part(owner, "problems", error.slug, str(STATUS[error.kind]))


def settings(owner: str, declared: Mapping[str, Declared]) -> Iterator[Part]:
    """Yield what a deployer may set."""
    if owner == KERNEL:
        yield from _fields(KERNEL, KernelSettings, lambda name: name)
    elif (given := declared[owner].settings) is not None:
        yield from _fields(owner, type(given), functools.partial(variable_name, owner))


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


def commands(owner: str, root: Any, owners: Mapping[str, str]) -> Iterator[Part]:
    """
    Yield commands of the command line.

    Args:
        owners: name of a group → module, for those that are not the platform's own.
    """
    context = root.make_context("platform", [], resilient_parsing=True)
    for name in root.list_commands(context):
        if owners.get(name, KERNEL) == owner:
            yield from _command(owner, context, root.get_command(context, name), f"platform {name}")


def _command(owner: str, parent: Any, command: Any, path: str) -> Iterator[Part]:
    if hasattr(command, "list_commands"):
        context = command.make_context(path.rpartition(" ")[2], [], parent=parent, resilient_parsing=True)
        for name in command.list_commands(context):
            yield from _command(owner, context, command.get_command(context, name), f"{path} {name}")
        return
    yield Part(owner, "commands", path, "")
    for parameter in command.params:
        if parameter.name not in _GENERIC:
            label = min(parameter.opts, key=lambda name: (not name.startswith("--"), name))
            name = label if label.startswith("-") else f"<{label}>"
            says = f"{'required' if parameter.required else 'optional'} {_choice(parameter.type_descriptor.annotation)}"
            deprecated = deprecation_of(parameter.type_descriptor.parameter_info.callback)
            yield Part(owner, "commands", path, says, f" {name}", deprecated=deprecated)


def _choice(annotation: Any) -> str:
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return f"one of {', '.join(str(member.value) for member in annotation)}"
    return str(getattr(annotation, "__name__", annotation))


def http(owner: str, document: Mapping[str, Any], modules: Collection[str]) -> Iterator[Part]:
    """
    Yield what clients build on.

    Args:
        document: the OpenAPI document.
        modules: whose operations are not the platform's own.
    """
    for path, item in document["paths"].items():
        for method, operation in item.items():
            named = operation["operationId"].partition(".")[0]
            if (named if named in modules else KERNEL) == owner:
                yield from _operation(owner, f"{method.upper()} {path}", operation, document)


def permissions(owner: str, declared: Mapping[str, Declared]) -> Iterator[Part]:
    """Yield the rights that roles can hold."""
    for permission in declared[THE_PLATFORM if owner == KERNEL else owner].permissions:
        yield Part(owner, "permissions", permission.name, "")


def _operation(
    owner: str, name: str, operation: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[Part]:
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
    general = {error.slug for error in descendants(DomainError) if error.__module__.startswith(KERNEL)}
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
