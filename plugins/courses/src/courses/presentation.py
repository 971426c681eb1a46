"""Routes below `/courses` and `/enrolments`."""

from __future__ import annotations

from uuid import UUID

from courses.application import CreateCourse, GetCourse, ListCourses, ListEnrolments
from courses.contracts import CourseNotFound, CourseView, EnrolmentView
from platform_core.domain import Page
from platform_core.errors import InvalidInput
from platform_core.http import Ask, Execute, PageParams, Router

router = Router()


@router.post(
    "/courses", status_code=201, permission="courses:write", raises=(InvalidInput,), summary="Offer a course"
)
async def create_course(command: CreateCourse, execute: Execute) -> CourseView:
    return await execute(command)


@router.get("/courses", summary="List courses")
async def list_courses(page: PageParams, ask: Ask) -> Page[CourseView]:
    return await ask(ListCourses(page=page))


@router.get("/courses/{course_id}", raises=(CourseNotFound,), summary="Read about a course")
async def get_course(course_id: UUID, ask: Ask) -> CourseView:
    return await ask(GetCourse(course_id=course_id))


@router.get("/enrolments", summary="List the courses in which you have a seat")
async def list_enrolments(page: PageParams, ask: Ask) -> Page[EnrolmentView]:
    return await ask(ListEnrolments(page=page))
