"""
Settings: what the environment means.

`read_settings` turns the environment into one frozen `KernelSettings`; `read_module_settings` does the same for a
plugin's own model. Values flow down from there as constructor arguments.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import core_schema

from platform_core._environment import environment, listed, listed_in
from platform_core._pins import narrowed
from platform_core.deprecations import deprecation_of
from platform_core.errors import InvalidSettings

__all__ = [
    "CommaList",
    "KernelSettings",
    "RateLimit",
    "SecretFile",
    "environment",
    "read_module_settings",
    "read_settings",
]

STARTUP_TIMEOUT_SECONDS: Final = 8.0
"""What a plugin may take to be imported or started: with one that hangs, the platform is ready in 15 s all the same."""

M = TypeVar("M", bound=BaseModel)


class SecretFile(SecretStr):
    """
    A secret that lives in a mounted file and is read anew each time, so that it rotates without a restart.

    For a moment, while somebody replaces it, the file may be missing or empty: reading it then raises OSError.
    """

    def __init__(self, path: Path) -> None:
        super().__init__("")
        self.path = path

    def get_secret_value(self) -> str:
        secret = self.path.read_text(encoding="utf-8").strip()
        if not secret:
            raise OSError(errno.ENODATA, "the file of a secret is empty", str(self.path))
        return secret

    def __len__(self) -> int:
        return len(self.get_secret_value())


class RateLimit(NamedTuple):
    """
    `COUNT/PERIOD`, for example `300/minute` or `5/5minutes`.

    Attributes:
        count: how many in one period.
        seconds: length of the period.
    """

    count: int  # type: ignore[assignment]  # hides the method that every tuple has
    seconds: int

    @classmethod
    def parse(cls, text: str | RateLimit) -> RateLimit:
        """
        Read the notation of the environment.

        Raises:
            ValueError: it is not `COUNT/[N]second|minute|hour|day[s]`.
        """
        if isinstance(text, RateLimit):
            return text
        count, _, period = text.strip().partition("/")
        digits = period.rstrip("abcdefghijklmnopqrstuvwxyz")
        unit = _UNITS.get(period[len(digits) :].removesuffix("s"))
        if not count.isdigit() or unit is None or (digits and not digits.isdigit()) or int(count) < 1:
            raise ValueError(f"{text!r} is no rate such as 300/minute or 5/5minutes")
        return cls(int(count), int(digits or "1") * unit)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)

    def __str__(self) -> str:
        unit = next(name for name in ("day", "hour", "minute", "second") if self.seconds % _UNITS[name] == 0)
        periods = self.seconds // _UNITS[unit]
        return f"{self.count}/{unit}" if periods == 1 else f"{self.count}/{periods}{unit}s"


_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def _comma_list(value: Any) -> Any:
    if isinstance(value, SecretFile):
        return listed_in(value.path)
    return listed(value) if isinstance(value, str) else value


CommaList = Annotated[tuple[str, ...], BeforeValidator(_comma_list)]


def _chosen_of_file(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, SecretFile) and info.context:
        return narrowed(listed_in(value.path), listed(info.context.get("PLATFORM_MODULES", "")))
    return value


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < 32:
        raise ValueError(
            "is shorter than 32 characters; make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    return secret


class KernelSettings(BaseModel):
    """What the kernel itself is told by its deployer; every field names its environment variable."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True, extra="forbid")

    database_url: SecretStr = Field(
        alias="DATABASE_URL", description="The primary PostgreSQL (15+), a direct address."
    )
    read_database_url: SecretStr | None = Field(
        None,
        alias="READ_DATABASE_URL",
        description="A streaming replica for queries; the primary when not given.",
    )
    read_lag_seconds: float = Field(
        5,
        ge=1,
        le=60,
        alias="PLATFORM_READ_LAG_SECONDS",
        description="A replica that is further behind is not asked; whoever wrote is remembered for so long.",
    )
    redis_url: SecretStr = Field(alias="REDIS_URL", description="Redis 7 or Valkey 8, standalone.")
    storage_url: str = Field(
        "file://.platform/files",
        alias="STORAGE_URL",
        description="Where files are kept: file://… or s3://bucket/prefix.",
    )
    environment: Literal["development", "test", "staging", "production"] = Field(
        "production", alias="PLATFORM_ENV", description="What this is; production refuses development values."
    )
    modules: Annotated[CommaList, BeforeValidator(_chosen_of_file)] = Field(
        (),
        alias="PLATFORM_MODULES",
        description="Comma-separated names of the modules to load; empty means all installed. `platform modules freeze`"
        " prints them with versions and hashes, which are then required. Beside PLATFORM_MODULES_FILE it chooses"
        " among what that file has.",
    )
    secret_key: Annotated[SecretStr, AfterValidator(_long_enough)] = Field(
        alias="PLATFORM_SECRET_KEY",
        description="At least 32 random characters; cursors, links and stored answers hang on it.",
        json_schema_extra={"development": "secret"},
    )
    public_url: str = Field(
        "http://127.0.0.1:8000",
        alias="PLATFORM_PUBLIC_URL",
        description="The address that clients use; links in mails begin with it.",
    )
    allowed_hosts: CommaList = Field(
        ("*",), alias="PLATFORM_ALLOWED_HOSTS", description="Host headers that are answered; others get 400."
    )
    cors_origins: CommaList = Field(
        (), alias="PLATFORM_CORS_ORIGINS", description="Origins that browsers may call from; none by default."
    )
    trusted_proxies: CommaList = Field(
        (),
        alias="PLATFORM_TRUSTED_PROXIES",
        description="Addresses or networks whose X-Forwarded-For is believed.",
    )
    rate_limit_anonymous: RateLimit = Field(
        RateLimit(300, 60),
        alias="PLATFORM_RATE_LIMIT_ANONYMOUS",
        description="Requests without a valid token, per IP.",
    )
    rate_limit_user: RateLimit = Field(
        RateLimit(1200, 60),
        alias="PLATFORM_RATE_LIMIT_USER",
        description="Requests per user, over all addresses.",
    )
    rate_limit_signup: RateLimit = Field(
        RateLimit(20, 60), alias="PLATFORM_RATE_LIMIT_SIGNUP", description="Registrations per IP."
    )
    rate_limit_login_failures_ip: RateLimit = Field(
        RateLimit(10, 60), alias="PLATFORM_RATE_LIMIT_LOGIN_FAILURES_IP", description="Failed logins per IP."
    )
    rate_limit_login_failures_account: RateLimit = Field(
        RateLimit(5, 300),
        alias="PLATFORM_RATE_LIMIT_LOGIN_FAILURES_ACCOUNT",
        description="Failed logins per account.",
    )
    admin_email: str | None = Field(
        None,
        max_length=254,
        alias="PLATFORM_ADMIN_EMAIL",
        description="E-mail of the first administrator, made by the essential seeds.",
    )
    admin_password: SecretStr | None = Field(
        None,
        alias="PLATFORM_ADMIN_PASSWORD",
        description="The first administrator's password; there is no built-in one.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        alias="SMTP_URL",
        description="smtp://… or smtps://…, with user and password in it; without it mails wait in the queue.",
    )
    clamd_url: str | None = Field(
        None,
        alias="PLATFORM_CLAMD_URL",
        description="clamd that scans uploads: unix:///run/clamav/clamd.ctl, or tcp://host:3310 in a closed network.",
    )
    database_pool_size: int = Field(
        16,
        ge=1,
        le=500,
        alias="PLATFORM_DATABASE_POOL_SIZE",
        description="Most connections of one module for one purpose, per process.",
    )
    database_pool_timeout_seconds: float = Field(
        1.5,
        gt=0,
        alias="PLATFORM_DATABASE_POOL_TIMEOUT_SECONDS",
        description="Wait for a connection before answering 503.",
    )
    database_connect_timeout_seconds: int = Field(
        3,
        ge=1,
        alias="PLATFORM_DATABASE_CONNECT_TIMEOUT_SECONDS",
        description="Wait for PostgreSQL to accept a connection.",
    )
    database_statement_timeout_seconds: float = Field(
        10,
        gt=0,
        alias="PLATFORM_DATABASE_STATEMENT_TIMEOUT_SECONDS",
        description="A statement is cut off after this.",
    )
    database_roles: bool = Field(
        True,
        alias="PLATFORM_DATABASE_ROLES",
        description="One database role per module; off where the migrator may not create roles.",
    )
    redis_timeout_seconds: float = Field(
        0.2,
        gt=0,
        alias="PLATFORM_REDIS_TIMEOUT_SECONDS",
        description="Redis counts as away after this; requests go on without it.",
    )
    max_body_bytes: int = Field(
        1024 * 1024, ge=0, alias="PLATFORM_MAX_BODY_BYTES", description="Largest JSON body; 413 above."
    )
    min_body_bytes_per_second: float = Field(
        500,
        gt=0,
        alias="PLATFORM_MIN_BODY_BYTES_PER_SECOND",
        description="A body that comes more slowly gets 408 after the grace; a large one may take its time.",
    )
    body_grace_seconds: float = Field(
        10,
        gt=0,
        alias="PLATFORM_BODY_GRACE_SECONDS",
        description="A body may lag behind that rate, or stop altogether, for so long.",
    )
    idempotency_hours: float = Field(
        24, gt=0, alias="PLATFORM_IDEMPOTENCY_HOURS", description="How long an Idempotency-Key is remembered."
    )
    startup_timeout_seconds: float = Field(
        STARTUP_TIMEOUT_SECONDS,
        gt=0,
        alias="PLATFORM_STARTUP_TIMEOUT_SECONDS",
        description="A plugin that takes longer to import or start counts as failed.",
    )
    worker_concurrency: int = Field(
        32,
        ge=1,
        alias="PLATFORM_WORKER_CONCURRENCY",
        description="Deliveries that one worker works on at once.",
    )
    lease_seconds: float = Field(
        10,
        gt=0,
        alias="PLATFORM_LEASE_SECONDS",
        description="A delivery whose worker died is taken over after this.",
    )
    poll_seconds: float = Field(
        1,
        gt=0,
        alias="PLATFORM_POLL_SECONDS",
        description="How often a worker looks for what Redis did not ring for.",
    )
    shutdown_grace_seconds: float = Field(
        25,
        ge=0,
        alias="PLATFORM_SHUTDOWN_GRACE_SECONDS",
        description="Requests and deliveries in flight may take so long after SIGTERM.",
    )
    delivery_retention_days: float = Field(
        90,
        gt=0,
        alias="PLATFORM_DELIVERY_RETENTION_DAYS",
        description="Finished deliveries are deleted after this; events stay.",
    )
    saga_retention_days: float = Field(
        90,
        gt=0,
        alias="PLATFORM_SAGA_RETENTION_DAYS",
        description="Sagas that ended are deleted after this, with their timelines; those that wait for somebody stay.",
    )
    orphan_seconds: float = Field(
        600,
        gt=0,
        alias="PLATFORM_ORPHAN_SECONDS",
        description="Deliveries of a handler that no worker knows are dead letters after this, events newer than"
        " every worker are parked.",
    )
    internal_port: int | None = Field(
        None,
        alias="PLATFORM_INTERNAL_PORT",
        description="Port for /metrics and health details; required to see them in production.",
    )
    internal_host: str = Field(
        "0.0.0.0",  # noqa: S104  # probes and scrapers come from other machines; the port is opened on demand only
        alias="PLATFORM_INTERNAL_HOST",
        description="Address of that port: every one of this machine by default, for Prometheus and Kubernetes; keep it"
        " from the public by a firewall, or with 127.0.0.1.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="PLATFORM_LOG_LEVEL", description="Least severe line that is logged."
    )
    log_format: Literal["json", "console"] | None = Field(
        None,
        alias="PLATFORM_LOG_FORMAT",
        description="json, or console for people; by default console in development.",
    )
    data_dir: Path = Field(
        Path(".platform"), alias="PLATFORM_DATA_DIR", description="What `platform dev` keeps between runs."
    )

    @property
    def is_production(self) -> bool:
        return self.environment in ("staging", "production")


def read_settings(source: Mapping[str, str]) -> KernelSettings:
    """
    Validate the kernel's settings.

    Args:
        source: environment variables; `NAME_FILE` names a file that holds the value of `NAME`.

    Raises:
        InvalidSettings: with every missing or wrong variable in one message, never with its value.
    """
    names = {name: field.alias or name for name, field in KernelSettings.model_fields.items()}
    return _validate("platform", KernelSettings, {alias: alias for alias in names.values()}, source)


def read_module_settings(module: str, model: type[M], source: Mapping[str, str]) -> M:
    """Validate a plugin's settings, `PLATFORM_<MODULE>_<FIELD>` or a field's alias; raises as `read_settings` does."""
    names = {
        field.alias or name: field.alias or variable_name(module, name)
        for name, field in model.model_fields.items()
    }
    return _validate(module, model, names, source)


def variable_name(module: str, field: str) -> str:
    """Return the environment variable of one field of a plugin's settings."""
    return f"PLATFORM_{module}_{field}".upper()


def _validate(owner: str, model: type[M], variables: Mapping[str, str], source: Mapping[str, str]) -> M:
    values: dict[str, Any] = {}
    deprecated = {field.alias or name: deprecation_of(field) for name, field in model.model_fields.items()}
    for key, variable in variables.items():
        path = source.get(f"{variable}_FILE")
        if path:
            values[key] = _from_file(owner, variable, Path(path))
        elif source.get(variable, "") != "":
            values[key] = source[variable]
        if key in values and (deprecation := deprecated.get(key)) is not None:
            deprecation.warn(f"the setting {variable}")
    try:
        return model.model_validate(values, context=source)
    except OSError as error:  # a rule wanted to see a secret
        problem = f"{error.filename} cannot be read: {error.strerror}"
        raise InvalidSettings(owner, problem, "write the secret into it, readable for this account") from None
    except ValidationError as error:
        problems = "; ".join(
            _describe(variables, detail) for detail in error.errors(include_input=False, include_url=False)
        )
        raise InvalidSettings(
            owner, problems, "set it in the environment, in .env, or as NAME_FILE"
        ) from None


def _from_file(owner: str, variable: str, path: Path) -> SecretFile:
    if not path.is_file():
        raise InvalidSettings(
            owner, f"{variable}_FILE names {path}, which is no file", "mount the secret or correct the path"
        )
    return SecretFile(path)


def _describe(variables: Mapping[str, str], detail: Any) -> str:
    key = str(detail["loc"][0]) if detail["loc"] else ""
    reason = "is not set" if detail["type"] == "missing" else str(detail["msg"]).removeprefix("Value error, ")
    return f"{variables.get(key, key)} {reason}"
