"""What project management contributes to the platform; read it like a table of contents."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from platform_core import hookimpl
from platform_core.declarations import (
    Migrations,
    Projection,
    ProjectionTable,
    SagaStep,
    Seed,
    Services,
    Subscription,
    on,
    per_application,
    per_unit_of_work,
)
from project_management.application import (
    access,
    activity,
    comments,
    demo,
    members,
    offboarding,
    onboarding,
    planning,
    ports,
    projects,
    queries,
    tasks,
    time_entries,
)
from project_management.contracts.events import EVENTS
from project_management.infrastructure import reads, repositories, tables, timeline
from project_management.infrastructure.attached_files import AttachedFiles
from project_management.seeds import SEEDS
from project_management.settings import ProjectManagementSettings

if TYPE_CHECKING:
    from fastapi import APIRouter

_HAS_FILES: Final = importlib.util.find_spec("file_management") is not None
_HAS_NOTIFICATION: Final = importlib.util.find_spec("notification") is not None


@hookimpl
def register_settings() -> type[ProjectManagementSettings]:
    return ProjectManagementSettings


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[
            per_unit_of_work(ports.ProjectRepository, repositories.SqlProjectRepository),
            per_unit_of_work(ports.MemberRepository, repositories.SqlMemberRepository),
            per_unit_of_work(ports.TaskRepository, repositories.SqlTaskRepository),
            per_unit_of_work(ports.CommentRepository, repositories.SqlCommentRepository),
            per_unit_of_work(ports.TimeEntryRepository, repositories.SqlTimeEntryRepository),
            per_unit_of_work(ports.ExpenseRepository, repositories.SqlExpenseRepository),
            per_unit_of_work(ports.MilestoneRepository, repositories.SqlMilestoneRepository),
            per_unit_of_work(ports.ActivityLog, repositories.SqlActivityLog),
            per_unit_of_work(access.Access),
            per_unit_of_work(comments.Mentions),
            per_unit_of_work(demo.Workshop),
            per_application(AttachedFiles),
        ],
        commands={
            projects.CreateProject: projects.create_project,
            projects.UpdateProject: projects.update_project,
            projects.DeleteProject: projects.delete_project,
            members.AddMember: members.add_member,
            members.ChangeRole: members.change_role,
            members.RemoveMember: members.remove_member,
            tasks.CreateTask: tasks.create_task,
            tasks.UpdateTask: tasks.update_task,
            tasks.DeleteTask: tasks.delete_task,
            time_entries.LogTime: time_entries.log_time,
            comments.AddComment: comments.add_comment,
            comments.RewriteComment: comments.rewrite_comment,
            comments.DeleteComment: comments.delete_comment,
            planning.RecordExpense: planning.record_expense,
            planning.SetMilestone: planning.set_milestone,
            demo.EnsureProject: demo.ensure_project,
            onboarding.PrepareProject: onboarding.prepare_project,
            offboarding.LeaveProjects: offboarding.leave_projects,
            **_file_commands(),
        },
        queries={
            queries.MayInProject: reads.may_in_project,
            queries.MayWithTask: reads.may_with_task,
            queries.GetProject: reads.get_project,
            queries.ListProjects: reads.list_projects,
            queries.GetMember: reads.get_member,
            queries.ListMembers: reads.list_members,
            queries.GetTask: reads.get_task,
            queries.ListTasks: reads.list_tasks,
            queries.ListTimeEntries: reads.list_time_entries,
            queries.GetComment: reads.get_comment,
            queries.MayRewrite: reads.may_rewrite,
            queries.ListComments: reads.list_comments,
            queries.ListExpenses: reads.list_expenses,
            queries.ListMilestones: reads.list_milestones,
            queries.GetTimeline: timeline.get_timeline,
            queries.ListActivity: reads.list_activity,
            **_file_queries(),
        },
    )


@hookimpl
def register_routes() -> Sequence[APIRouter]:
    from project_management.presentation import ROUTERS

    if not _HAS_FILES:
        return ROUTERS
    from project_management.presentation import attachments

    return [*ROUTERS, attachments.router]


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", tables.METADATA)


@hookimpl
def register_event_handlers() -> Sequence[Subscription]:
    return _notices()


@hookimpl
def register_projections() -> Sequence[Projection]:
    feed = [
        on(event, activity.note_activity, name=f"project_management.note_{event.wire_name.partition('.')[2]}")
        for event in EVENTS
    ]
    lines = ProjectionTable(table=tables.activity_entries, key="id", of="event")
    return [Projection(name="project_management.activity", tables=[lines], handlers=feed)]


@hookimpl
def register_seeds() -> Sequence[Seed]:
    return SEEDS


@hookimpl
def onboarding_steps() -> Sequence[SagaStep]:
    return [SagaStep(name="project_management.project", action=onboarding.first_project, critical=False)]


@hookimpl
def offboarding_steps() -> Sequence[SagaStep]:
    return [SagaStep(name="project_management.handover", action=offboarding.leaving, critical=False)]


# ── Files can be attached where file_management is installed, too ────────────────────────────────


def _file_commands() -> dict[type[Any], Any]:
    if not _HAS_FILES:
        return {}
    from project_management.application import attachments

    return {
        attachments.AttachFile: attachments.attach_file,
        attachments.DetachFile: attachments.detach_file,
    }


def _file_queries() -> dict[type[Any], Any]:
    if not _HAS_FILES:
        return {}
    from project_management.application.attachments import ListAttachments
    from project_management.infrastructure.attachment_reads import list_attachments

    return {ListAttachments: list_attachments}


@hookimpl(optionalhook=True)
def file_access_rules() -> Sequence[Any]:
    from file_management.hookspecs import FileAccessRule

    return [FileAccessRule(name="attached_files", adapter=AttachedFiles)]


# ── People hear of their tasks where notification is installed, too ──────────────────────────────


def _notices() -> Sequence[Subscription]:
    if not _HAS_NOTIFICATION:
        return []
    from project_management.infrastructure.notices import SUBSCRIPTIONS

    return SUBSCRIPTIONS


@hookimpl(optionalhook=True)
def notification_kinds() -> Sequence[Any]:
    from project_management.infrastructure.notices import KINDS

    return KINDS


@hookimpl(optionalhook=True)
def notification_templates() -> Sequence[Any]:
    from project_management.infrastructure.notices import TEMPLATES

    return TEMPLATES
