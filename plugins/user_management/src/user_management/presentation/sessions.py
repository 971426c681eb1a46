"""Routes below `/auth`."""

from __future__ import annotations

from uuid import UUID

from platform_core.domain import Page
from platform_core.errors import NotFound, RateLimited, Unauthenticated
from platform_core.http import Ask, Caller, Execute, PageParams, Router
from user_management.application import (
    ConfirmPasswordReset,
    EndSession,
    ListSessions,
    LogIn,
    LogOut,
    RefreshTokens,
    RequestEmailVerification,
    RequestPasswordReset,
    TokensView,
    VerifyEmail,
)
from user_management.contracts import SessionView
from user_management.domain import (
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidToken,
    RefreshSuperseded,
    TooManyFailedLogins,
)

router = Router()


@router.post(
    "/auth/login",
    public=True,
    secret=True,
    raises=(InvalidCredentials, TooManyFailedLogins, RateLimited),
    summary="Log in",
)
async def log_in(command: LogIn, execute: Execute) -> TokensView:
    return await execute(command)


@router.post(
    "/auth/refresh",
    public=True,
    secret=True,
    raises=(InvalidRefreshToken, RefreshSuperseded),
    summary="Exchange a refresh token for a new pair",
)
async def refresh(command: RefreshTokens, execute: Execute) -> TokensView:
    return await execute(command)


@router.post("/auth/logout", status_code=204, summary="End this session; its tokens stop working at once")
async def log_out(execute: Execute) -> None:
    await execute(LogOut())


@router.get("/auth/sessions", raises=(Unauthenticated,), summary="List one's own sessions")
async def list_sessions(ask: Ask, caller: Caller, page: PageParams) -> Page[SessionView]:
    return await ask(ListSessions(user_id=caller.require_user(), current_id=caller.session_id, page=page))


@router.delete("/auth/sessions/{session_id}", raises=(NotFound,), summary="End one of one's own sessions")
async def end_session(session_id: UUID, execute: Execute) -> None:
    await execute(EndSession(session_id=session_id))


@router.post(
    "/auth/verify-email",
    status_code=204,
    public=True,
    secret=True,
    raises=(InvalidToken,),
    summary="Prove an e-mail address through the mailed link",
)
async def verify_email(command: VerifyEmail, execute: Execute) -> None:
    await execute(command)


@router.post(
    "/auth/verify-email/resend", status_code=202, summary="Ask for a new mail to prove one's own address"
)
async def request_email_verification(execute: Execute) -> None:
    await execute(RequestEmailVerification())


@router.post(
    "/auth/password-reset",
    status_code=202,
    public=True,
    limit="signup",
    summary="Ask for a mail to set a new password; the answer never says whether there is such an account",
)
async def request_password_reset(command: RequestPasswordReset, execute: Execute) -> None:
    await execute(command)


@router.post(
    "/auth/password-reset/confirm",
    status_code=204,
    public=True,
    secret=True,
    limit="signup",
    raises=(InvalidToken, RateLimited),
    summary="Set a new password through the mailed link; every session ends",
)
async def confirm_password_reset(command: ConfirmPasswordReset, execute: Execute) -> None:
    await execute(command)
