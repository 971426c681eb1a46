"""The reverse proxy's configuration as it ships: nginx accepts it, and takes processes out and in while it runs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.append(str(Path(__file__).parents[1] / "topology"))

if TYPE_CHECKING:
    from topology_rig.front import Front

pytestmark = pytest.mark.skipif(
    shutil.which("nginx") is None, reason="nginx is not here: apt-get install nginx-light"
)

ONE, OTHER = "127.0.0.1:8001", "127.0.0.1:8002"


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    from topology_rig.front import Front

    made = Front(tmp_path / "nginx", [ONE, OTHER])
    yield made
    made.part.close()


def test_nginx_accepts_what_ships(front: Front) -> None:
    assert front.check() == ""


def test_a_process_is_taken_out_and_put_back_while_nginx_runs_but_never_the_last_one(front: Front) -> None:
    front.part.start()
    before = front.backends
    front.out(ONE)
    assert front.backends == before.replace(
        f"{ONE} max_fails=2 fail_timeout=2s", f"{ONE} max_fails=2 fail_timeout=2s down"
    )
    with pytest.raises(AssertionError, match="the last one"):
        front.out(OTHER)
    with pytest.raises(AssertionError, match="has no server"):
        front.out("127.0.0.1:9")
    front.back_in(ONE)
    assert front.backends == before
