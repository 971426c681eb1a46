"""A module that nobody here knows takes seats by a saga of its own, as docs/sagas.md tells, if its manifest says so."""

from __future__ import annotations

from uuid import UUID

import pytest

from courses import CourseFull
from courses.testing import make_course
from platform_core.domain import Command, new_id
from platform_core.testing import PlatformFactory, PluginSource, RunningPlatform

PLUGIN = '''
from dataclasses import dataclass
from uuid import UUID

from courses import Enrol, WithdrawEnrolment
from courses.application import EnsureCourse
from platform_core import hookimpl
from platform_core.declarations import Saga, SagaStep, Services
from platform_core.domain import Command
from platform_core.errors import DomainError, Kind
from platform_core.ports import SagaRun, Sagas


class NoTrain(DomainError, kind=Kind.CONFLICT):
    """No train goes there."""


@dataclass(frozen=True, kw_only=True)
class PlanTrip(Command[None]):
    trip_id: UUID
    course_id: UUID
    by_train: bool


@dataclass(frozen=True, kw_only=True)
class BookTrain(Command[None]):
    by_train: bool


async def plan_trip(command: PlanTrip, sagas: Sagas) -> None:
    data = {"course_id": str(command.course_id), "by_train": command.by_train}
    sagas.start("trips.booking", saga_id=command.trip_id, data=data)


async def book_train(command: BookTrain) -> None:
    if not command.by_train:
        raise NoTrain


def seat(run: SagaRun) -> Enrol:
    return Enrol(enrolment_id=run.id, course_id=UUID(run.data["course_id"]), student_id=run.id)


def give_back(run: SagaRun) -> WithdrawEnrolment:
    return WithdrawEnrolment(enrolment_id=run.id)


def train(run: SagaRun) -> BookTrain:
    return BookTrain(by_train=run.data["by_train"])


def private(run: SagaRun) -> EnsureCourse:
    raise AssertionError


@hookimpl
def register_services():
    return Services(commands={PlanTrip: plan_trip, BookTrain: book_train})


@hookimpl
def register_sagas():
    steps = [SagaStep(name="seat", action=seat, compensation=give_back), SagaStep(name="train", action=train)]
    return [Saga(name="trips.booking", steps=steps)]
'''


def trips(sagas: str = 'sagas = ["courses"]', plugin: str = PLUGIN) -> PluginSource:
    return PluginSource(
        name="trips",
        files={"plugin.py": plugin},
        manifest=f'title = "Trips"\n{sagas}\n',
        requires=["platform-core", "platform-plugin-courses"],
    )


def plan(p: RunningPlatform, course_id: UUID, *, by_train: bool) -> Command[None]:
    [module] = [plugin.module for plugin in p.kernel.plugins if plugin.name == "trips"]
    command: Command[None] = module.PlanTrip(trip_id=new_id(), course_id=course_id, by_train=by_train)  # type: ignore[union-attr]  # active plugins are imported
    return command


async def test_a_saga_of_another_module_takes_a_seat_and_gives_it_back(platform: PlatformFactory) -> None:
    async with platform(["courses"], extra=[trips()]) as p:
        assert [plugin.error for plugin in p.kernel.plugins if plugin.error] == []
        course = await make_course(p, capacity=1)
        for by_train, status, taken in ((False, "compensated", 0), (True, "completed", 1)):
            await p.execute(plan(p, course.id, by_train=by_train))
            await p.deliver()
            [saga] = await p.sql("SELECT status FROM platform.sagas ORDER BY id DESC LIMIT 1")
            [row] = await p.sql("SELECT seats_taken FROM courses.courses")
            assert (saga["status"], row["seats_taken"]) == (status, taken)
        await p.execute(plan(p, course.id, by_train=True))
        await p.deliver()
        [saga] = await p.sql("SELECT status, steps FROM platform.sagas ORDER BY id DESC LIMIT 1")
        assert (saga["status"], saga["steps"][0]["error"]) == ("compensated", CourseFull().message)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (trips(sagas=""), "plugin.toml does not let its sagas execute commands of courses"),
        (
            trips(plugin=PLUGIN.replace("action=train", "action=private")),
            "courses keeps courses.ensure_course",
        ),
    ],
)
async def test_a_saga_executes_only_what_its_manifest_and_others_contracts_allow(
    platform: PlatformFactory, source: PluginSource, problem: str
) -> None:
    async with platform(["courses"], extra=[source]) as p:
        [failed] = [plugin for plugin in p.kernel.plugins if plugin.error]
        assert failed.name == "trips"
        assert problem in str(failed.error)
