"""
The environment of a development platform; private to the kernel.

What nobody set is made once and kept in the data directory:

    secrets.json   generated secrets, 0600; every one begins with a mark that production refuses
    running.json   addresses of the embedded services, while `platform dev` holds a lock on it

`platform dev` runs on it, every other command may borrow it, and tests make throw-away ones the same way.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets as random_secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from platform_core._production import DEVELOPMENT_MARK
from platform_core.declarations import Companion
from platform_core.errors import InvalidSettings, OperationError
from platform_core.settings import KernelSettings, read_settings, variable_name

SECRETS: Final = "secrets.json"
RUNNING: Final = "running.json"


def _random_secret(mark: str) -> str:
    return f"{mark}-{random_secrets.token_urlsafe(36)}" if mark else random_secrets.token_urlsafe(48)


def _ed25519_key(mark: str) -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    note = f"{mark}: made by platform dev\n" if mark else ""  # readers of PEM skip what comes before
    return note + pem.decode()


_MAKERS: Final[Mapping[str, Callable[[str], str]]] = {"secret": _random_secret, "ed25519": _ed25519_key}


def missing_secrets(
    module: str | None, model: type[BaseModel], source: Mapping[str, str], *, mark: str = DEVELOPMENT_MARK
) -> dict[str, str]:
    """
    Make the secrets that nobody gave and whose fields say how: `Field(json_schema_extra={"development": …})`.

    Args:
        module: whose settings these are; None for the kernel's own.
        model: fields marked `"secret"` get a random text, those marked `"ed25519"` a private key as PEM.
        source: variables that are set already, as themselves or as `NAME_FILE`.
        mark: what each begins with, so that production refuses it; empty for a deployment's own.

    Returns: variable → fresh value.

    Raises:
        InvalidSettings: a field is marked with something else.
    """
    made: dict[str, str] = {}
    for field, info in model.model_fields.items():
        extra = info.json_schema_extra
        kind = extra.get("development") if isinstance(extra, dict) else None
        variable = info.alias or variable_name(module or "", field)
        if kind is None or source.get(variable) or source.get(f"{variable}_FILE"):
            continue
        maker = _MAKERS.get(str(kind))
        if maker is None:
            problem = f"its setting {field} is to be made as {kind!r} in development, which nobody can"
            raise InvalidSettings(module or "platform", problem, f"use one of {', '.join(_MAKERS)}")
        made[variable] = maker(mark)
    return made


class SecretStore:
    """
    Secrets of one development platform, by variable.

    Args:
        data_dir: made if missing.
        keeps: write new ones there; otherwise they live as long as this object.
    """

    def __init__(self, data_dir: Path, *, keeps: bool = True) -> None:
        self._path, self._keeps = data_dir / SECRETS, keeps
        self.values: dict[str, str] = {}
        if self._path.exists():
            try:
                self.values = json.loads(self._path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise OperationError(
                    f"{self._path} cannot be read: {error}. Mend it, or delete it: then new secrets are made, "
                    "and passwords and tokens made with the old ones are worth nothing."
                ) from error

    def complete(
        self, module: str | None, model: type[BaseModel], source: Mapping[str, str]
    ) -> dict[str, str]:
        """Return `source` with the secrets that the model misses; new ones are kept at once."""
        known = {**self.values, **source}
        made = missing_secrets(module, model, known)
        if made:
            self.keep(**made)
        return {**self.values, **source}

    def keep(self, **values: str) -> None:
        """Remember values; the file is replaced as a whole, so that a crash leaves the old or the new one."""
        self.values.update(values)
        if not self._keeps:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".part")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(self.values, file, indent=2)
        unfinished.replace(self._path)


def defaults(source: Mapping[str, str], data_dir: Path, store: SecretStore) -> dict[str, str]:
    """Return `source` completed with what a development platform needs besides addresses of services."""
    completed = {
        "PLATFORM_ENV": "development",
        "PLATFORM_DATA_DIR": str(data_dir),
        "STORAGE_URL": f"file://{(data_dir / 'files').absolute()}",
        **{name: value for name, value in source.items() if value != ""},
    }
    return store.complete(None, KernelSettings, completed)


def with_module_secrets(source: Mapping[str, str], store: SecretStore) -> dict[str, str]:
    """
    Return `source` completed with the secrets that installed modules ask for.

    Raises:
        StartupFailed: a required module cannot be imported.
    """
    from platform_core._discovery import discover
    from platform_core._hooks import Hooks

    settings = read_settings(source)
    hooks = Hooks(discover(settings.modules), timeout_seconds=settings.startup_timeout_seconds)
    completed = dict(source)
    for module, model in hooks.collect("register_settings").items():
        completed = store.complete(module, model, completed)
    return completed


def companions(source: Mapping[str, str]) -> list[Companion]:
    """Return the stand-ins of installed modules for what `source` gives no address of."""
    from platform_core._discovery import discover
    from platform_core._hooks import Hooks

    settings = read_settings(source)
    hooks = Hooks(discover(settings.modules), timeout_seconds=settings.startup_timeout_seconds)
    offered = [one for several in hooks.collect("register_companions").values() for one in several]
    return [one for one in offered if not (source.get(one.variable) or source.get(f"{one.variable}_FILE"))]


@contextlib.contextmanager
def announced(data_dir: Path, addresses: Mapping[str, str]) -> Iterator[None]:
    """Let other commands find the services of this process for as long as the block lasts."""
    path = data_dir / RUNNING
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(dict(addresses)).encode(), 0)
        yield
        path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def running_addresses(data_dir: Path) -> dict[str, str] | None:
    """Return the addresses that a running `platform dev` announced here; None when none runs."""
    try:
        descriptor = os.open(data_dir / RUNNING, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # somebody holds it, so what it says is true
        with contextlib.suppress(ValueError):
            found: dict[str, Any] = json.loads(os.pread(descriptor, 65536, 0))
            return {str(name): str(value) for name, value in found.items()}
        return None
    else:
        return None
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def services(source: Mapping[str, str], data_dir: Path) -> Iterator[dict[str, str]]:
    """
    Provide a database and a Redis for as long as the block lasts, where `source` names none.

    Those of a `platform dev` that runs on the same directory are shared; otherwise they are started.
    """
    wanted = {
        name for name in ("DATABASE_URL", "REDIS_URL") if not (source.get(name) or source.get(f"{name}_FILE"))
    }
    found = running_addresses(data_dir) if wanted else {}
    if found is not None and wanted <= found.keys():
        yield {name: found[name] for name in wanted}
        return
    from platform_core.embedded import embedded_services

    database, redis = "DATABASE_URL" in wanted, "REDIS_URL" in wanted
    with embedded_services(data_dir, database=database, redis=redis) as embedded:
        addresses = {"DATABASE_URL": embedded.database_url, "REDIS_URL": embedded.redis_url}
        yield {name: value for name, value in addresses.items() if value is not None}
