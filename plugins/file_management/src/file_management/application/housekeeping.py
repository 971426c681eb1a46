"""What keeps the storage and the tables telling the same: purges, sweeps, uploads that nobody finishes."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Final
from uuid import UUID

from file_management.application.intake import Intake
from file_management.application.ports import FileRepository, UploadRepository, Usage
from file_management.application.tasks import DiscardObjects, PurgeFiles, SweepStorage
from file_management.domain import PROCESSING, QUARANTINED
from file_management.settings import FileManagementSettings
from platform_core.ports import Clock, Jobs, Storage

_BATCH_COUNT: Final = 100

_SETTLED: Final = timedelta(hours=1)
"""Between keeping an object and storing the row that refers to it lie seconds; after this nobody will any more."""

_DAYS_BACK: Final = 8
"""Keys begin with the day they were made; the platform may have been down over a long holiday."""


async def purge_files(
    command: PurgeFiles,
    files: FileRepository,
    usage: Usage,
    jobs: Jobs,
    settings: FileManagementSettings,
    clock: Clock,
) -> None:
    """Rows go first, with the job that deletes the objects: whichever step dies, nothing refers to what is gone."""
    deleted_before = clock.now() - timedelta(days=settings.keep_deleted_days)
    released: Counter[UUID] = Counter()  # one statement changes a row once
    for remains in await files.purgeable(deleted_before, _BATCH_COUNT):
        files.remove(remains.file_id)
        released[remains.owner_id] += remains.charged_bytes
        jobs.later(DiscardObjects(keys=list(remains.keys)))
    for owner_id, size in released.items():
        usage.release(owner_id, size)


async def sweep_storage(
    command: SweepStorage,
    files: FileRepository,
    uploads: UploadRepository,
    storage: Storage,
    intake: Intake,
    jobs: Jobs,
    clock: Clock,
) -> None:
    """Every step of an upload may be its process's last; whatever it left is found here within the hour."""
    settled = clock.now() - _SETTLED
    await storage.sweep(settled)
    for day in range(_DAYS_BACK):
        await _sweep_day(f"{clock.now() - timedelta(days=day):%Y%m%d}", files, storage, clock)
    for upload in await uploads.expired(clock.now(), _BATCH_COUNT):
        if upload.keys:
            jobs.later(DiscardObjects(keys=upload.keys))
        uploads.remove(upload.id)
    for file in await files.stuck(PROCESSING, settled, _BATCH_COUNT):
        file.fail("processing did not come to an end", clock.now())
    for file in await files.stuck(QUARANTINED, clock.now() - timedelta(days=1), _BATCH_COUNT):
        file.touch(clock.now())
        intake.follow_up(file)  # its job has used up its attempts


async def _sweep_day(day: str, files: FileRepository, storage: Storage, clock: Clock) -> None:
    settled = clock.now() - _SETTLED
    for kind in ("objects", "derived", "parts"):
        found = await storage.objects(f"file_management/{kind}/{day}")
        old = [one.key for one in found if one.modified_at < settled]
        for start in range(0, len(old), _BATCH_COUNT):
            await storage.delete(await files.unknown_keys(old[start : start + _BATCH_COUNT]))
