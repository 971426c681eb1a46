"""
The facade of `courses`: what other modules may import.
"""

from courses.contracts import (
    AlreadyEnrolled,
    CourseCatalogue,
    CourseCreated,
    CourseFull,
    CourseId,
    CourseNotFound,
    CourseView,
    Enrol,
    EnrolmentId,
    EnrolmentView,
    EnrolmentWithdrawn,
    StudentEnrolled,
    WithdrawEnrolment,
)

__all__ = [
    "AlreadyEnrolled",
    "CourseCatalogue",
    "CourseCreated",
    "CourseFull",
    "CourseId",
    "CourseNotFound",
    "CourseView",
    "Enrol",
    "EnrolmentId",
    "EnrolmentView",
    "EnrolmentWithdrawn",
    "StudentEnrolled",
    "WithdrawEnrolment",
]
