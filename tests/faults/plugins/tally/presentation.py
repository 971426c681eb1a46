"""Marks over HTTP: `POST` by anybody, `POST /own` by users, `GET` counts."""

from __future__ import annotations

from platform_core.http import Ask, Execute, Router
from tally.application import CountMarks, MakeMark
from tally.contracts import MarkView

router = Router()


@router.post("/tally/marks", status_code=201, public=True, summary="Make a mark")
async def make(command: MakeMark, execute: Execute) -> MarkView:
    return await execute(command)


@router.post("/tally/own-marks", status_code=201, summary="Make a mark as a user")
async def make_own(command: MakeMark, execute: Execute) -> MarkView:
    return await execute(command)


@router.get("/tally/marks", public=True, summary="Count the marks")
async def count(ask: Ask) -> int:
    return await ask(CountMarks())
