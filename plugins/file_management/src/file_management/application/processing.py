"""What a worker does with content: scanning what waits in quarantine, and making thumbnails and the like of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from file_management.application.intake import Intake, Rejected, object_key, require_clean
from file_management.application.ports import FileRepository, Processors, Scanners, Usage
from file_management.application.tasks import DiscardObjects, ProcessFile, ScanFile
from file_management.domain import PROCESSING, QUARANTINED, File, FileNotFound
from file_management.hookspecs import CannotProcess
from platform_core.errors import OperationError
from platform_core.ports import Clock, Draft, Jobs, Storage


async def scan_file(
    command: ScanFile,
    files: FileRepository,
    storage: Storage,
    scanners: Scanners,
    usage: Usage,
    intake: Intake,
    clock: Clock,
    jobs: Jobs,
) -> None:
    """As long as a scanner is away this fails, and is repeated."""
    file = await _present(command, files, QUARANTINED)
    if file is None:
        return
    async with _content(file, storage) as content:
        verdict = await scanners.scan(content)
    try:
        require_clean(verdict)
    except Rejected as rejection:
        await _throw_out(file, rejection, files, usage, intake, clock, jobs)
        return
    file.release(clock.now(), is_processed=intake.is_processed(file.blob))
    files.mark_clean(file)
    intake.follow_up(file)


async def process_file(
    command: ProcessFile,
    files: FileRepository,
    storage: Storage,
    processors: Processors,
    clock: Clock,
) -> None:
    """Content that cannot be processed is an answer; a storage that is away is none, and this is repeated."""
    file = await _present(command, files, PROCESSING)
    if file is None:
        return
    async with _content(file, storage) as content:
        try:
            made = await processors.process(content, file.content_type)
        except CannotProcess as reason:
            file.fail(str(reason), clock.now())
            return
    derived: dict[str, str] = {}
    for name, data in made.items():
        async with storage.draft() as draft:
            await draft.write(data)
            await draft.finish()
            derived[name] = object_key("derived", file.id, clock.now())
            await draft.keep(derived[name])
    file.processed(derived, clock.now())


async def discard_objects(command: DiscardObjects, storage: Storage) -> None:
    """Deleting twice is no error, so this may be repeated."""
    await storage.delete(command.keys)


async def _present(command: ScanFile | ProcessFile, files: FileRepository, status: str) -> File | None:
    """Return the file, unless it has gone on, or away, since the job was stored."""
    try:
        file = await files.get_with_deleted(command.file_id)
    except FileNotFound:
        return None
    return file if (file.file_version, file.status) == (command.file_version, status) else None


@contextlib.asynccontextmanager
async def _content(file: File, storage: Storage) -> AsyncIterator[Draft]:
    """Fetch the content of a file to this machine, and insist that it is what was uploaded."""
    async with storage.draft() as draft:
        async with contextlib.aclosing(storage.read(file.object_key, stop=file.size)) as pieces:
            async for piece in pieces:
                await draft.write(piece)
        await draft.finish()
        if draft.sha256 != file.checksum_sha256:
            raise OperationError(f"the content of the file {file.id} is not what was uploaded")
        yield draft


async def _throw_out(
    file: File,
    rejection: Rejected,
    files: FileRepository,
    usage: Usage,
    intake: Intake,
    clock: Clock,
    jobs: Jobs,
) -> None:
    """Keep nothing of the content; the file goes back to its last clean version, or goes as well."""
    infected, number = file.blob, file.file_version
    file.rejected((await files.version(file.id, number)).uploaded_by, rejection.reason, rejection.detail)
    usage.release(file.uploaded_by, infected.size)
    jobs.later(DiscardObjects(keys=[infected.key]))
    before = await files.last_clean_version(file.id)
    if before is None:
        files.remove(file.id)
        return
    file.fall_back(before, is_processed=intake.is_processed(before.blob), now=clock.now())
    files.remove_version(file.id, number)
    intake.follow_up(file)
