"""What file management contributes to the platform; read it like a table of contents."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from file_management import hookspecs
from file_management.application import (
    access,
    files,
    folders,
    housekeeping,
    intake,
    onboarding,
    ports,
    processing,
    queries,
    sharing,
    tasks,
    uploads,
)
from file_management.contracts import FileDirectory
from file_management.hookspecs import FileProcessor, FileScanner
from file_management.infrastructure import reads, repositories, tables
from file_management.infrastructure.clamd import ClamdScanner, clamd_scanner
from file_management.infrastructure.contributed import (
    ContributedAccessRules,
    ContributedProcessors,
    ContributedScanners,
)
from file_management.infrastructure.signatures import SignatureScanner
from file_management.infrastructure.sniffing import Signatures
from file_management.infrastructure.thumbnails import WANTED, Thumbnails
from file_management.seeds import SEEDS
from file_management.settings import FileManagementSettings
from platform_core import hookimpl
from platform_core.declarations import (
    HealthCheck,
    Migrations,
    Retry,
    SagaStep,
    Schedule,
    Seed,
    Services,
    Subscription,
    Task,
    per_application,
    per_unit_of_work,
)

if TYPE_CHECKING:
    from fastapi import APIRouter


@hookimpl
def register_hookspecs() -> ModuleType:
    return hookspecs


@hookimpl
def register_settings() -> type[FileManagementSettings]:
    return FileManagementSettings


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[
            # for other modules
            per_unit_of_work(FileDirectory, reads.SqlFileDirectory, public=True),
            # for the use cases here
            per_unit_of_work(ports.FileRepository, repositories.SqlFileRepository),
            per_unit_of_work(ports.FolderRepository, repositories.SqlFolderRepository),
            per_unit_of_work(ports.UploadRepository, repositories.SqlUploadRepository),
            per_unit_of_work(ports.Usage, repositories.SqlUsage),
            per_unit_of_work(access.Access),
            per_unit_of_work(intake.Intake),
            per_unit_of_work(files.Drawer),
            per_application(ports.Types, Signatures),
            per_application(ContributedScanners),
            per_application(ports.Scanners, scanners),
            per_application(ports.Processors, ContributedProcessors),
            per_application(ports.AccessRules, ContributedAccessRules),
            # what is contributed below
            per_application(SignatureScanner),
            per_application(ClamdScanner, clamd_scanner),
            per_application(Thumbnails),
        ],
        commands={
            files.UploadFile: files.upload_file,
            files.AddVersion: files.add_version,
            files.RestoreVersion: files.restore_version,
            files.UpdateFile: files.update_file,
            files.DeleteFile: files.delete_file,
            files.RestoreFile: files.restore_file,
            files.EnsureFile: files.ensure_file,
            folders.CreateFolder: folders.create_folder,
            folders.UpdateFolder: folders.update_folder,
            folders.DeleteFolder: folders.delete_folder,
            onboarding.PrepareWorkspace: onboarding.prepare_workspace,
            sharing.ShareFile: sharing.share_file,
            sharing.UnshareFile: sharing.unshare_file,
            uploads.BeginUpload: uploads.begin_upload,
            uploads.ContinueUpload: uploads.continue_upload,
            uploads.GiveUpUpload: uploads.give_up_upload,
            tasks.ScanFile: processing.scan_file,
            tasks.ProcessFile: processing.process_file,
            tasks.DiscardObjects: processing.discard_objects,
            tasks.PurgeFiles: housekeeping.purge_files,
            tasks.SweepStorage: housekeeping.sweep_storage,
        },
        queries={
            queries.GetFile: reads.get_file,
            queries.ListFiles: reads.list_files,
            queries.OpenFile: reads.open_file,
            queries.OpenThumbnail: reads.open_thumbnail,
            queries.ListVersions: reads.list_versions,
            queries.ListPermissions: reads.list_permissions,
            queries.GetUploadAllowance: reads.get_upload_allowance,
            queries.GetQuota: reads.get_quota,
            queries.GetFolder: reads.get_folder,
            queries.ListChildren: reads.list_children,
            queries.GetUpload: reads.get_upload,
        },
    )


@hookimpl
def register_routes() -> Sequence[APIRouter]:
    from file_management.presentation import ROUTERS

    return ROUTERS


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", tables.METADATA)


@hookimpl
def register_tasks() -> Sequence[Task | Schedule]:
    return [
        # a scanner that is away comes back, and somebody waits for it: often, for a day
        Task(
            command=tasks.ScanFile,
            retry=Retry(attempts_count=6000, first_seconds=1, longest_seconds=15),
            timeout_seconds=120,
            concurrency_count=4,
        ),
        Task(command=tasks.ProcessFile, retry=Retry(attempts_count=6), concurrency_count=2),
        Task(command=tasks.DiscardObjects, retry=Retry(attempts_count=20), audited=False),
        Task(command=tasks.PurgeFiles, audited=False),
        Task(command=tasks.SweepStorage, timeout_seconds=600, concurrency_count=1, audited=False),
        Schedule(name="file_management.purge_files", every=timedelta(minutes=15), command=tasks.PurgeFiles()),
        Schedule(
            name="file_management.sweep_storage", every=timedelta(minutes=30), command=tasks.SweepStorage()
        ),
    ]


@hookimpl
def register_seeds() -> Sequence[Seed]:
    return SEEDS


@hookimpl
def register_health_checks() -> Sequence[HealthCheck]:
    return [HealthCheck(name="scanner", check=check_scanners)]


@hookimpl
def file_scanners() -> Sequence[FileScanner]:
    return [
        FileScanner(name="signatures", adapter=SignatureScanner),
        FileScanner(name="clamd", adapter=ClamdScanner),
    ]


@hookimpl
def file_processors() -> Sequence[FileProcessor]:
    return [FileProcessor(name="thumbnails", adapter=Thumbnails, wants=WANTED.__contains__)]


@hookimpl
def onboarding_steps() -> Sequence[SagaStep]:
    return [SagaStep(name="file_management.workspace", action=onboarding.workspace, critical=False)]


# ── People hear of their files where notification is installed, too ──────────────────────────────


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    if importlib.util.find_spec("notification") is None:
        return []
    from file_management.infrastructure.notices import SUBSCRIPTIONS

    return SUBSCRIPTIONS


@hookimpl(optionalhook=True)
def notification_kinds() -> Sequence[Any]:
    from file_management.infrastructure.notices import KINDS

    return KINDS


@hookimpl(optionalhook=True)
def notification_templates() -> Sequence[Any]:
    from file_management.infrastructure.notices import TEMPLATES

    return TEMPLATES


def scanners(contributed: ContributedScanners) -> ContributedScanners:
    """The same, under the name by which use cases know it."""
    return contributed


async def check_scanners(contributed: ContributedScanners) -> str | None:
    """Tell whether uploads can be scanned, and by what."""
    return await contributed.check()
