"""
Every error that the platform raises on purpose; standard library only, anything may import it.

PlatformError
├─ DomainError(kind)        a rule said no; becomes problem+json
│    ├─ NotFound · Forbidden · Unauthenticated · InvalidInput · ConcurrentUpdate
│    ├─ PreconditionFailed · RateLimited · Unavailable
│    └─ … each plugin's own: `class EmailTaken(DomainError, kind=Kind.CONFLICT)`
├─ StartupError             one thing wrong with the installed set; many travel in StartupFailed
│    ├─ DuplicatePlugin · InvalidManifest · MissingPlugin · IncompatibleVersion · PluginCycle
│    ├─ UnknownHook · HookFailed · MissingService · ForbiddenInteraction · NameCollision
│    └─ InvalidSettings
├─ StartupFailed            (ExceptionGroup) all of the above at once
├─ ForeignTable             a statement reached for another module's tables; PostgreSQL refused it
├─ MissingRights            PostgreSQL refused a statement, and does not say whose table it was for
└─ OperationError           an operator's action could not be done
     └─ MigrationFailed · SeedFailed · LeaseLost · Unparsable
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


class PlatformError(Exception):
    """Something the platform raised on purpose."""

    def __init__(self, message: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().partition("\n")[0]
        super().__init__(self.message)


class Kind(enum.Enum):
    """What sort of "no" a rule says; `http` alone knows which status that is."""

    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    PAYMENT_REQUIRED = "payment_required"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    PRECONDITION_FAILED = "precondition_failed"
    TOO_LARGE = "too_large"
    UNSUPPORTED_TYPE = "unsupported_type"
    TIMED_OUT = "timed_out"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class FieldError:
    """
    One field that breaks a rule.

    Attributes:
        pointer: JSON pointer from the request, such as `/body/email`.
        message: what is wrong, for a person.
        code: what is wrong, for a program, such as `string_too_short`.
    """

    pointer: str
    message: str
    code: str


def pointer(location: Iterable[Any]) -> str:
    """Return the JSON pointer (RFC 6901) of a field: `["body", "kinds", "a/b"]` → `/body/kinds/a~1b`; parts are cut."""
    return "".join("/" + str(part)[:100].replace("~", "~0").replace("/", "~1") for part in location)


class DomainError(PlatformError):
    """
    A rule of the domain said no.

    Subclasses name their kind (there is no default: forgetting it is a type error) and are known to
    clients by a slug made of the class name; the class docstring is the default message.

    Args:
        message: what happened, for the caller; never SQL, a path or another person's data.
        fields: which fields are at fault.
        retry_after_seconds: when trying again makes sense.
        extra: further members of the problem document, safe for the caller.
    """

    kind: ClassVar[Kind]
    slug: ClassVar[str]

    def __init_subclass__(cls, *, kind: Kind | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls.kind = kind
        elif not hasattr(cls, "kind"):
            raise TypeError(
                f"{cls.__name__} must name its kind: class {cls.__name__}(DomainError, kind=Kind.…)"
            )
        cls.slug = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()

    def __init__(
        self,
        message: str = "",
        *,
        fields: Sequence[FieldError] = (),
        retry_after_seconds: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.fields = tuple(fields)
        self.retry_after_seconds = retry_after_seconds
        self.extra = dict(extra or {})


class NotFound(DomainError, kind=Kind.NOT_FOUND):
    """There is no such thing, or you may not know of it."""


class Forbidden(DomainError, kind=Kind.FORBIDDEN):
    """You are not allowed to do this."""


class Unauthenticated(DomainError, kind=Kind.UNAUTHENTICATED):
    """A valid access token is needed."""


class InvalidInput(DomainError, kind=Kind.INVALID):
    """The request breaks a rule."""

    @classmethod
    def of(cls, name: str, message: str, code: str = "invalid", *, where: str = "body") -> InvalidInput:
        """Point at one field: `InvalidInput.of("password", "is among the most common ones")`."""
        return cls(f"{name}: {message}", fields=[FieldError(f"/{where}/{name}", message, code)])


class ConcurrentUpdate(DomainError, kind=Kind.CONFLICT):
    """Somebody else changed this at the same time; read it again and repeat."""


class PreconditionFailed(DomainError, kind=Kind.PRECONDITION_FAILED):
    """It is no longer the version that your If-Match names."""


class RateLimited(DomainError, kind=Kind.RATE_LIMITED):
    """Too many requests; slow down."""


class Unavailable(DomainError, kind=Kind.UNAVAILABLE):
    """A part of the platform is away; try again in a moment."""


@dataclass(frozen=True, slots=True)
class Cause:
    """
    Who and why, of one start-up problem.

    Attributes:
        plugin: the plugin at fault, or "platform" for the kernel and its settings.
        problem: what is wrong.
        hint: what to do about it.
    """

    plugin: str
    problem: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.plugin}: {self.problem}" + (f"\n    → {self.hint}" if self.hint else "")


class StartupError(PlatformError):
    """One thing is wrong with the installed set."""

    def __init__(self, plugin: str, problem: str, hint: str = "") -> None:
        self.cause = Cause(plugin, problem, hint)
        super().__init__(str(self.cause))


class DuplicatePlugin(StartupError):
    """Two distributions offer a plugin of the same name."""


class InvalidManifest(StartupError):
    """A plugin's `plugin.toml` is missing or wrong."""


class MissingPlugin(StartupError):
    """A plugin needs another one that is not there."""


class IncompatibleVersion(StartupError):
    """A plugin asks for a version that is not installed."""


class PluginCycle(StartupError):
    """Plugins need each other in a circle."""


class UnknownHook(StartupError):
    """A plugin implements a hook that nobody declares."""


class HookFailed(StartupError):
    """A plugin could not be imported, or one of its hooks raised or hung."""


class MissingService(StartupError):
    """A handler or service asks for a type that nobody provides."""


class ForbiddenInteraction(StartupError):
    """A plugin reaches into another one in a way that its manifest does not allow."""


class NameCollision(StartupError):
    """Two plugins claim the same route, event, permission, table, problem or hook."""


class InvalidSettings(StartupError):
    """A setting is missing or wrong."""


class StartupFailed(ExceptionGroup[StartupError]):
    """The platform cannot start; every reason at once."""

    def causes(self) -> Iterator[Cause]:
        """Every reason, in the order found."""
        for error in self.exceptions:
            if isinstance(error, StartupFailed):
                yield from error.causes()
            elif isinstance(error, StartupError):
                yield error.cause

    def __str__(self) -> str:
        lines = [self.message, *(f"  • {cause}" for cause in self.causes())]
        return "\n".join(lines)


class ForeignTable(PlatformError):
    """
    A statement reached for what another module stores, and PostgreSQL refused it.

    It is a mistake in the module's code and nothing that a client could do better.

    Args:
        module: whose code it was.
        owner: whose table it is.
        said: PostgreSQL's words.
    """

    def __init__(self, module: str, owner: str, said: str) -> None:
        super().__init__(
            f"The module {module} reached for tables of {owner}, and PostgreSQL refused: {said}. A module reads and"
            f" writes its own schema only; ask {owner} through what it publishes."
        )


class MissingRights(PlatformError):
    """
    PostgreSQL refused a statement, and whose it is that it reached for is not in its words.

    It is a database whose rights were not restored with it, or the same mistake as `ForeignTable`.

    Args:
        module: whose database role it was.
        said: PostgreSQL's words.
    """

    def __init__(self, module: str, said: str) -> None:
        super().__init__(
            f"The database role of {module} lacks a right: {said}. If that is for what {module} stores itself, the"
            " database was restored without rights, and `platform db upgrade` gives them (docs/operations/backups.md,"
            " Restoring). If it is not, ask its owner through what it publishes."
        )


class OperationError(PlatformError):
    """An operator's action could not be done."""


class MigrationFailed(OperationError):
    """A migration did not run to its end."""


class SeedFailed(OperationError):
    """A seed did not run to its end."""


class LeaseLost(OperationError):
    """Another worker has taken this delivery over; what was done here is rolled back."""


class Unparsable(OperationError):
    """A stored event or job is of a name or version that this build does not know; it is parked."""
