"""What handlers and services ask for is planned at start; what does not fit is told with the chain that led there."""

from dataclasses import replace

import pytest

from platform_core.errors import (
    ForbiddenInteraction,
    HookFailed,
    InvalidManifest,
    MissingService,
    NameCollision,
    StartupError,
    StartupFailed,
    UnknownHook,
)
from platform_core.testing import PluginSource

HEAD = """
from dataclasses import dataclass
from typing import Protocol, ClassVar
from platform_core import hookimpl
from platform_core.db import Reads, UnitOfWork
from platform_core.declarations import *
from platform_core.domain import Command, Event, Query
from platform_core.ports import *
"""

REQUIRED = 'title = "T"\nboot = "required"\n'


def plugin(name: str, code: str, *requires: str, manifest: str = "") -> PluginSource:
    needs = ["platform-core", *(f"platform-plugin-{other}" for other in requires)]
    return PluginSource(
        name=name, requires=needs, manifest=REQUIRED + manifest, files={"plugin.py": HEAD + code}
    )


def cause_of(load, kind: type[StartupError], *sources: PluginSource) -> str:
    with pytest.raises(StartupFailed) as failure:
        load(*sources)
    found = [error for error in failure.value.exceptions if isinstance(error, kind)]
    assert found, str(failure.value)
    return str(found[0])


SERVES = """
class Clerk:
    def __init__(self, reads: Reads) -> None: ...

class Secret:
    pass

@hookimpl
def register_services():
    return Services(provides=[per_unit_of_work(Clerk, public=True), per_application(Secret)])
"""


def test_a_missing_service_is_named_with_everybody_who_led_to_it(load) -> None:
    code = """
class Nobody(Protocol): ...

class Middle:
    def __init__(self, nobody: Nobody) -> None: ...

@dataclass(frozen=True, kw_only=True)
class Go(Command[None]): ...

async def go(command: Go, middle: Middle) -> None: ...

@hookimpl
def register_services():
    return Services(provides=[per_unit_of_work(Middle)], commands={Go: go})
"""
    message = cause_of(load, MissingService, plugin("asking", code))
    assert "asking: Middle → Nobody: nobody provides Nobody" in message


def test_services_that_need_each_other_are_drawn_as_a_circle(load) -> None:
    code = """
class Hen:
    def __init__(self, egg: "Egg") -> None: ...

class Egg:
    def __init__(self, hen: Hen) -> None: ...

@hookimpl
def register_services():
    return Services(provides=[per_unit_of_work(Hen), per_unit_of_work(Egg)])
"""
    message = cause_of(load, MissingService, plugin("circle", code))
    assert "Hen → Egg → Hen need each other in a circle" in message


def test_an_application_wide_service_may_not_hold_a_unit_of_work(load) -> None:
    code = """
class Holder:
    def __init__(self, uow: UnitOfWork) -> None: ...

@hookimpl
def register_services():
    return Services(provides=[per_application(Holder)])
"""
    message = cause_of(load, MissingService, plugin("holding", code))
    assert "Holder outlives the command that UnitOfWork belongs to" in message


def test_a_public_service_may_not_write_not_even_through_another_one(load) -> None:
    code = """
class Writer:
    def __init__(self, uow: UnitOfWork) -> None: ...

class Front:
    def __init__(self, writer: Writer) -> None: ...

@hookimpl
def register_services():
    return Services(provides=[per_unit_of_work(Writer), per_unit_of_work(Front, public=True)])
"""
    message = cause_of(load, ForbiddenInteraction, plugin("generous", code))
    assert "Front is public but can write" in message


USES = """
from serving.plugin import {wanted}

@dataclass(frozen=True, kw_only=True)
class Go(Command[None]): ...

async def go(command: Go, wanted: {wanted}) -> None: ...

@hookimpl
def register_services():
    return Services(commands={{Go: go}})
"""


def test_a_neighbour_may_be_queried_only_where_the_manifest_says_so(load) -> None:
    serving = plugin("serving", SERVES)
    quiet = plugin("quiet", USES.format(wanted="Clerk"), "serving")
    assert "its plugin.toml does not let it query serving" in cause_of(
        load, ForbiddenInteraction, serving, quiet
    )
    kernel = load(serving, replace(quiet, name="open_x", manifest=f'{REQUIRED}queries = ["serving"]'))
    assert [p.name for p in kernel.active] == ["platform", "serving", "open_x"]


def test_what_a_neighbour_keeps_to_itself_stays_there(load) -> None:
    nosy = plugin("nosy", USES.format(wanted="Secret"), "serving", manifest='queries = ["serving"]')
    message = cause_of(load, ForbiddenInteraction, plugin("serving", SERVES), nosy)
    assert "go → Secret: serving keeps Secret to itself" in message


def test_events_of_a_neighbour_may_be_consumed_only_where_the_manifest_says_so(load) -> None:
    telling = plugin(
        "telling",
        '@dataclass(frozen=True, kw_only=True)\nclass Told(Event):\n    wire_name: ClassVar[str] = "telling.told"\n',
    )
    listening = plugin(
        "listening",
        """
from telling.plugin import Told

async def hear(event: Told) -> None: ...

@hookimpl
def register_event_handlers():
    return [on(Told, hear, name="listening.hear")]
""",
        "telling",
    )
    message = cause_of(load, ForbiddenInteraction, telling, listening)
    assert "it subscribes to telling.told; plugin.toml does not let it consume telling" in message


def test_two_providers_of_one_type_collide(load) -> None:
    second = plugin(
        "second",
        "from serving.plugin import Clerk\n@hookimpl\ndef register_services():\n"
        "    return Services(provides=[per_unit_of_work(Clerk, lambda: None)])\n",
        "serving",
    )
    assert "serving and second both provide Clerk" in cause_of(
        load, NameCollision, plugin("serving", SERVES), second
    )


def test_a_hook_that_nobody_declares_is_an_error(load) -> None:
    code = "@hookimpl\ndef register_rotues():\n    return []\n"
    assert "it implements register_rotues, which nobody declares" in cause_of(
        load, UnknownHook, plugin("typing_x", code)
    )


def test_an_async_hook_is_an_error(load) -> None:
    code = "@hookimpl\nasync def register_services():\n    return Services()\n"
    assert "its hook register_services is async" in cause_of(load, HookFailed, plugin("eager", code))


def test_a_handler_without_types_is_told_which_parameter(load) -> None:
    code = """
@dataclass(frozen=True, kw_only=True)
class Go(Command[None]): ...

async def go(command: Go, thing) -> None: ...

@hookimpl
def register_services():
    return Services(commands={Go: go})
"""
    assert "go: the parameter 'thing' has no type" in cause_of(load, MissingService, plugin("untyped", code))


def test_an_event_that_is_not_called_after_its_module_is_refused(load) -> None:
    code = '@dataclass(frozen=True, kw_only=True)\nclass Told(Event):\n    wire_name: ClassVar[str] = "other.told"\n'
    assert "the event Told is called 'other.told'" in cause_of(load, NameCollision, plugin("misnamed", code))


def test_two_events_of_one_name_are_refused(load) -> None:
    code = """
@dataclass(frozen=True, kw_only=True)
class Told(Event):
    wire_name: ClassVar[str] = "doubled.told"

@dataclass(frozen=True, kw_only=True)
class Retold(Event):
    wire_name: ClassVar[str] = "doubled.told"
"""
    assert "Told and Retold are both called doubled.told" in cause_of(
        load, NameCollision, plugin("doubled", code)
    )


def test_an_event_may_have_slots(load) -> None:
    # dataclasses then make the class a second time; the first one is not another event
    code = """
@dataclass(frozen=True, kw_only=True, slots=True)
class Told(Event):
    wire_name: ClassVar[str] = "slotted.told"
    text: str
"""
    load(plugin("slotted", code))


def test_a_schedule_needs_a_task_and_a_task_a_handler(load) -> None:
    code = """
from datetime import timedelta

@dataclass(frozen=True, kw_only=True)
class Sweep(Command[None]): ...

@hookimpl
def register_tasks():
    return [{task} Schedule(name="sweeping.sweep", every=timedelta(hours=1), command=Sweep())]
"""
    without_task = plugin("sweeping", code.format(task=""))
    assert "the schedule sweeping.sweep executes a command that is no task" in cause_of(
        load, MissingService, without_task
    )
    without_handler = plugin("sweeping", code.format(task="Task(command=Sweep),"))
    assert "the task sweeping.sweep has no command handler" in cause_of(load, MissingService, without_handler)


@pytest.mark.parametrize("what", ["subscription", "schedule"])
def test_stored_names_begin_with_the_plugins_own(load, what: str) -> None:
    code = """
from datetime import timedelta

@dataclass(frozen=True, kw_only=True)
class Told(Event):
    wire_name: ClassVar[str] = "naming.told"

@dataclass(frozen=True, kw_only=True)
class Sweep(Command[None]): ...

async def hear(event: Told) -> None: ...
async def sweep(command: Sweep) -> None: ...

@hookimpl
def register_services():
    return Services(commands={Sweep: sweep})

@hookimpl
def register_event_handlers():
    return [on(Told, hear, name="SUBSCRIPTION")]

@hookimpl
def register_tasks():
    return [Task(command=Sweep), Schedule(name="SCHEDULE", every=timedelta(hours=1), command=Sweep())]
"""
    right = {"subscription": "naming.hear", "schedule": "naming.sweep"}
    names = {**right, what: "elsewhere.name"}
    source = code.replace("SUBSCRIPTION", names["subscription"]).replace("SCHEDULE", names["schedule"])
    message = cause_of(load, InvalidManifest, plugin("naming", source))
    assert f"its {what} elsewhere.name does not begin with its own name" in message


def test_a_plugin_may_bring_hooks_of_its_own_and_gets_what_others_return(load) -> None:
    host = PluginSource(
        name="host",
        manifest=REQUIRED,
        files={
            "hooks.py": "from platform_core.hookspecs import hookspec\n\n@hookspec\ndef host_guests(): ...\n",
            "plugin.py": HEAD
            + """
from host import hooks

@hookimpl
def register_hookspecs():
    return hooks

class GuestList:
    def __init__(self, extensions: Extensions) -> None:
        self.guests = extensions.collect("host_guests")

@hookimpl
def register_services():
    return Services(provides=[per_application(GuestList)])
""",
        },
    )
    guest = plugin("guest", '@hookimpl\ndef host_guests():\n    return ["Ada", "Bob"]\n', "host")
    kernel = load(host, guest)
    assert kernel._hooks.collect("host_guests") == {"guest": ["Ada", "Bob"]}


def test_a_hook_of_a_neighbour_that_is_not_there_is_unknown(load) -> None:
    guest = plugin("guest", '@hookimpl\ndef host_guests():\n    return ["Ada"]\n')
    assert "it implements host_guests, which nobody declares" in cause_of(load, UnknownHook, guest)
