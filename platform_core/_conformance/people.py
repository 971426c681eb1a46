"""People to call routes with: nobody, somebody who may do nothing, and somebody who may do everything."""

from __future__ import annotations

import importlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from platform_core._conformance.grades import NotRun
from platform_core._conformance.subject import PEOPLE, Subject
from platform_core.testing import RunningPlatform

if TYPE_CHECKING:
    from httpx2 import AsyncClient


@dataclass(frozen=True)
class People:
    """
    Clients of one platform.

    Attributes:
        stranger: logged in, without any role.
        member: logged in, with the role that everybody has.
        administrator: may do everything.
    """

    visitor: AsyncClient
    stranger: AsyncClient
    member: AsyncClient
    administrator: AsyncClient


async def people(p: RunningPlatform, subject: Subject) -> People:
    """
    Sign some up.

    Raises:
        NotRun: the module by which people log in is not installed.
    """
    if PEOPLE not in subject.modules:
        raise NotRun(f"nobody can log in: pip install platform-plugin-{PEOPLE.replace('_', '-')}")
    # by name: the kernel imports no module
    sign_up = importlib.import_module(f"{PEOPLE}.testing").sign_up
    mark = secrets.token_hex(3)
    stranger = await sign_up(p, f"stranger-{mark}")
    await p.sql("DELETE FROM user_management.user_roles WHERE user_id = %(id)s", id=stranger.id)
    member = await sign_up(p, f"member-{mark}")
    administrator = await sign_up(p, f"admin-{mark}", permissions=["*"])
    return People(p.client, stranger.client, member.client, administrator.client)
