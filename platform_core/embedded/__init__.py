"""
Real PostgreSQL and Redis servers as child processes, where nobody gave a `DATABASE_URL` or `REDIS_URL`.

    platform dev, pytest … ──pipe──► guardian ──► postgres
                                              └─► valkey-server

A guardian of our own starts the servers and stops them as soon as the other end of its pipe is closed. The
operating system closes it whichever way the owner ends, `kill -9` too, so no server outlives the process it was
started for. A lock on the data directory is inherited by every server: it is free when the last of them is gone,
and not before.

    order       what the owner tells the guardian, and how a failure is told
    programs    where the servers' programs are            leash       the owner's end of the pipe
    owner       the guardian's end                         guardian    starts, watches and stops
    account     whom root runs the servers as              lock        one owner at a time
    directory   where data, sockets and programs lie       processes   child processes
    postgres    one server                                 redis       the other

Imported by `cli` and `testing`; POSIX only. The guardian runs this folder in a fresh interpreter while a
developer waits, so nothing but the standard library is imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platform_core.embedded import programs
from platform_core.embedded.leash import EmbeddedServices, Leash
from platform_core.embedded.order import EmbeddedServiceError, Order

__all__ = ["EmbeddedServiceError", "EmbeddedServices", "embedded_services"]


@contextmanager
def embedded_services(
    data_dir: Path, *, database: bool = True, redis: bool = True, tcp: bool = False, durable: bool = True
) -> Iterator[EmbeddedServices]:
    """
    Run the wanted servers for as long as the block lasts.

    Data stay in `data_dir/postgres` and `data_dir/redis`, logs and sockets in `data_dir/run`. PostgreSQL refuses
    to run as root: then both servers run as the account that owns `data_dir` or, if that is root too, as
    `postgres` or `nobody`. Where that account cannot reach `data_dir` (somewhere below `/root`, say), the servers
    get a private directory below `/var/lib/platform-core` or `/var/tmp`; the link `data_dir/embedded` leads there.

    Args:
        data_dir: made if missing; one owner at a time.
        database: start PostgreSQL.
        redis: start Valkey, which speaks Redis.
        tcp: listen on free loopback ports as well, with a fresh password, and return those URLs. Without it no
            port is open and the sockets are in a directory that only the servers' account may enter.
        durable: False stops waiting for the disk: quicker, for tests; if the machine crashes, data may be lost.

    Raises:
        EmbeddedServiceError: no program found, the directory is in use, or a server does not start.
    """
    if not (database or redis):
        yield EmbeddedServices(None, None)
        return
    order = Order(
        data_dir=str(data_dir.expanduser().resolve()),
        owner_pid=os.getpid(),
        owner_name=" ".join([Path(sys.argv[0]).name, *sys.argv[1:2]]) if sys.argv else "",
        postgres_bin=str(programs.find_postgres()) if database else None,
        redis_program=str(programs.find_redis()) if redis else None,
        tcp=tcp,
        durable=durable,
    )
    leash = Leash(order)
    try:
        yield leash.services()
    finally:
        leash.let_go()
