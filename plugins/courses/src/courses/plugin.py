"""What courses contribute to the platform; read it like a table of contents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from courses import application, contracts, infrastructure
from courses.seeds import SEEDS
from platform_core import hookimpl
from platform_core.declarations import Migrations, Permission, Seed, Services, per_unit_of_work

if TYPE_CHECKING:
    from fastapi import APIRouter


@hookimpl
def register_services() -> Services:
    return Services(
        provides=[
            # for other modules
            per_unit_of_work(contracts.CourseCatalogue, infrastructure.SqlCourseCatalogue, public=True),
            # for the use cases here
            per_unit_of_work(application.CourseRepository, infrastructure.SqlCourseRepository),
            per_unit_of_work(application.EnrolmentRepository, infrastructure.SqlEnrolmentRepository),
        ],
        commands={
            application.CreateCourse: application.create_course,
            application.EnsureCourse: application.ensure_course,
            # steps of others' sagas
            contracts.Enrol: application.enrol,
            contracts.WithdrawEnrolment: application.withdraw_enrolment,
        },
        queries={
            application.GetCourse: infrastructure.get_course,
            application.ListCourses: infrastructure.list_courses,
            application.ListEnrolments: infrastructure.list_enrolments,
        },
    )


@hookimpl
def register_routes() -> Sequence[APIRouter]:
    from courses.presentation import router

    return [router]


@hookimpl
def register_permissions() -> Sequence[Permission]:
    return [Permission("courses:write", "Offer courses")]


@hookimpl
def register_migrations() -> Migrations:
    return Migrations(Path(__file__).parent / "migrations" / "versions", infrastructure.METADATA)


@hookimpl
def register_seeds() -> Sequence[Seed]:
    return SEEDS
