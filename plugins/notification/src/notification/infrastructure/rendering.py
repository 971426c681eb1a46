"""
Jinja2 for people who are not trusted: names, filters, `if` and `for`, and nothing that could reach or cost anything.

The sandbox alone is not enough: it stops `__class__`, but not `{{ "x" * 10**10 }}`, and it finds out when the mail is
written. So the syntax tree is compared with a list of what is allowed when a template is stored, line by line.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from notification.application.ports import Rendered
from notification.contracts import InvalidTemplate, TemplateSource
from notification.domain import one_line
from platform_core.errors import FieldError

_SYNTAX: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Filter,
    nodes.Test,
    nodes.If,
    nodes.CondExpr,
    nodes.For,
    nodes.Not,
    nodes.And,
    nodes.Or,
    nodes.Compare,
    nodes.Operand,
)
_FILTERS: Final = frozenset(
    {"capitalize", "default", "e", "escape", "lower", "title", "trim", "truncate", "upper"}
)
_TESTS: Final = frozenset({"defined", "undefined", "none"})
_LONGEST_SUBJECT: Final = 200
_LONGEST_PART: Final = 1_000_000
_DEEPEST: Final = 50
"""Python itself gives up on code that is indented a hundred times."""

_UNFIT: Final = (TemplateError, TypeError, ValueError, ArithmeticError, AssertionError)
"""What templates, and Jinja2's own filters, raise about values that they cannot deal with."""

Problem = tuple[int, str]


@functools.cache
def _environment(*, escapes: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        autoescape=escapes,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.clear()
    return environment


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the three texts of a template; plain text has nothing to escape from."""

    name: str
    source: str
    escapes: bool


class JinjaRenderer:
    """Renders untrusted templates; compiled ones are kept."""

    def __init__(self) -> None:
        self._frame = files("notification").joinpath("templates", "frame.html").read_text(encoding="utf-8")
        self._compiled = functools.lru_cache(maxsize=512)(self._compile)

    def check(self, source: TemplateSource, known: Collection[str], secret: Collection[str] = ()) -> None:
        fields = [
            FieldError(f"/body/{part.name}", f"line {line}: {problem}", "template_error")
            for part in _parts(source)
            for line, problem in _problems(
                part, frozenset(known if part.name == "subject" else (*known, *secret))
            )
        ]
        if fields:
            raise _invalid(fields)

    def render(
        self, source: TemplateSource, variables: Mapping[str, Any], secret: Mapping[str, str] | None = None
    ) -> Rendered:
        # variables belong to the caller's events; the names of the platform's own secrets win over them
        everything = {**variables, **(secret or {})}
        made: dict[str, str] = {}
        for part in _parts(source):
            made[part.name] = self._rendered(part, variables if part.name == "subject" else everything)
        subject = one_line(made["subject"], _LONGEST_SUBJECT)
        html = made.get("html")
        if html is not None and not html.lstrip().lower().startswith("<!doctype"):
            html = self._framed(html, subject, source.locale, variables)
        return Rendered(subject, made["text"], html)

    def _framed(self, body: str, subject: str, locale: str, variables: Mapping[str, Any]) -> str:
        # the body was escaped while it was rendered
        inner = {**variables, "body": Markup(body), "subject": subject, "locale": locale}  # noqa: S704  # as said
        return self._rendered(_Part("html", self._frame, True), inner)

    def _rendered(self, part: _Part, variables: Mapping[str, Any]) -> str:
        try:
            pieces: list[str] = []
            length = 0
            for piece in self._compiled(part)(dict(variables)):
                pieces.append(piece)
                length += len(piece)
                if length > _LONGEST_PART:  # a loop makes much of little
                    raise TemplateError(f"becomes longer than {_LONGEST_PART:,} characters")
            return "".join(pieces)
        except _UNFIT as error:
            raise _invalid([FieldError(f"/body/{part.name}", *_described(error))]) from error

    def _compile(self, part: _Part) -> Callable[..., Iterator[str]]:
        if problems := _problems(part, None):
            line, problem = problems[0]
            raise TemplateSyntaxError(problem, line)
        return _environment(escapes=part.escapes).from_string(part.source).generate


def _parts(source: TemplateSource) -> Iterator[_Part]:
    yield _Part("subject", source.subject, False)
    yield _Part("text", source.text, False)
    if source.html is not None:
        yield _Part("html", source.html, True)


_TOO_DEEP: Final = "it is nested too deeply"


@functools.lru_cache(maxsize=256)
def _problems(part: _Part, known: frozenset[str] | None) -> tuple[Problem, ...]:
    """Return what is wrong with a text; remembered, since each application judges its modules' templates at start."""
    try:
        tree = _environment(escapes=part.escapes).parse(part.source)
        return (*_forbidden(tree), *(() if known is None else _unknown_names(tree, known)))
    except TemplateSyntaxError as error:
        return ((error.lineno, error.message or "is no template"),)
    except ValueError as error:  # a number that Python does not want to read
        return ((1, str(error)),)
    except RecursionError:  # of the parser
        return ((1, _TOO_DEEP),)


def _walk(node: nodes.Node, depth: int = 0) -> Iterator[nodes.Node]:
    if depth > _DEEPEST:
        raise TemplateSyntaxError(_TOO_DEEP, node.lineno)
    yield node
    for child in node.iter_child_nodes():
        yield from _walk(child, depth + 1)


def _forbidden(tree: nodes.Template) -> Iterator[Problem]:
    for node in _walk(tree):
        if not isinstance(node, _SYNTAX):
            yield node.lineno, f"{type(node).__name__} is not allowed; only names, filters, if and for are"
        elif isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            yield (
                node.lineno,
                f"the filter {node.name} is not allowed; only {', '.join(sorted(_FILTERS))} are",
            )
        elif isinstance(node, nodes.Test) and node.name not in _TESTS:
            yield node.lineno, f"the test {node.name} is not allowed; only {', '.join(sorted(_TESTS))} are"
        elif isinstance(node, nodes.For):
            yield from _forbidden_loop(node)


def _forbidden_loop(loop: nodes.For) -> Iterator[Problem]:
    if not isinstance(loop.iter, nodes.Name) or not isinstance(loop.target, nodes.Name):
        yield loop.lineno, "for goes over one name: {% for title in titles %}"
    if loop.recursive or any(isinstance(node, nodes.For) for part in loop.body for node in _walk(part)):
        yield loop.lineno, "for inside for is not allowed"


def _unknown_names(tree: nodes.Template, known: Collection[str]) -> Iterator[Problem]:
    made = {node.name for node in _walk(tree) if isinstance(node, nodes.Name) and node.ctx == "store"}
    for node in _walk(tree):
        if (
            isinstance(node, nodes.Name)
            and node.ctx == "load"
            and node.name not in known
            and node.name not in made
        ):
            yield node.lineno, f"there is no {node.name} here; there is {', '.join(sorted(known))}"


def _described(error: Exception) -> tuple[str, str]:
    line = error.lineno if isinstance(error, TemplateSyntaxError) else _line_of(error)
    said = (error.message if isinstance(error, TemplateError) else str(error)) or type(error).__name__
    return f"line {line}: {one_line(said, 300)}", "template_error"


def _line_of(error: Exception) -> int:
    """Jinja2 rewrites tracebacks: frames of a template made from a string are in `<template>`."""
    trace, line = error.__traceback__, 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _invalid(fields: list[FieldError]) -> InvalidTemplate:
    first = fields[0]
    return InvalidTemplate(f"{first.pointer.removeprefix('/body/')}, {first.message}", fields=fields)
