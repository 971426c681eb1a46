"""With `notification` installed people hear of their files; without it nothing is missing. Seeds, and the facade."""

from __future__ import annotations

from uuid import UUID

import pytest

from file_management import FileDirectory
from file_management.seeds import SEEDS
from file_management.testing import picture, upload
from platform_core.declarations import Tier
from platform_core.domain import new_id
from platform_core.testing import PlatformFactory, RunningPlatform
from user_management.testing import Account, essentials, sign_up

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


async def test_a_rejected_file_becomes_a_mail(platform: PlatformFactory) -> None:
    catalogue_type = pytest.importorskip("notification.application.catalogue").Catalogue
    modules = ["user_management", "notification", "file_management"]
    async with platform(modules, seed=essentials) as p:
        catalogue = p.kernel.wiring.resolve("notification", catalogue_type)
        kinds = {name for name in catalogue.kinds if name.startswith("file_management.")}
        assert kinds == {f"file_management.file_{what}" for what in ("uploaded", "processed", "rejected")}
        assert {key[2] for key in catalogue.templates if key[0] in kinds} == {"en", "de"}
        eve = await sign_up(p, "eve")
        answer = await eve.client.post("/api/v1/files/upload", files={"file": ("a.zip", EICAR)})
        assert answer.status_code == 422
        await p.deliver()
        [mail] = p.mails
        assert mail.subject == "a.zip was not taken"
        assert "EICAR-Test-File" in mail.text


async def test_the_seeds_make_files_with_thumbnails_and_may_run_again(platform: PlatformFactory) -> None:
    settings = {
        "PLATFORM_ADMIN_EMAIL": "admin@example.com",
        "PLATFORM_ADMIN_PASSWORD": "a long enough secret",
    }
    async with platform(["user_management", "file_management"], settings=settings) as p:
        await p.seed(Tier.DEVELOPMENT)
        for seed in SEEDS:
            await p.kernel.call("file_management", seed.run)
        await p.deliver()
        rows = await p.sql("SELECT name, status, derived FROM file_management.files")
        assert len(rows) == 12
        assert {row["status"] for row in rows} == {"completed"}
        assert all("thumbnail" in row["derived"] for row in rows if row["name"] == "sunset.jpg")
        assert len(await p.kernel.storage.objects("file_management")) == 16


async def test_other_modules_learn_which_files_there_are(
    p: RunningPlatform, eve: Account, ben: Account
) -> None:
    file = await upload(eve.client, "a.jpg", picture())
    gone = await upload(eve.client, "b.txt")
    await eve.client.delete(f"/api/v1/files/{gone['id']}")
    found: dict[str, object] = {}

    async def look(directory: FileDirectory) -> None:
        wanted = [UUID(file["id"]), UUID(gone["id"]), new_id()]
        found["all"] = {str(key) for key in await directory.get_many(wanted)}
        for person in (eve, ben):
            readable = await directory.readable(wanted, user_id=person.id)
            found[person.username] = [view.name for view in readable.values()]

    await p.kernel.call("file_management", look)
    assert found == {"all": {file["id"]}, "eve": ["a.jpg"], "ben": []}
