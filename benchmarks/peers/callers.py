"""Who calls a peer: a token is checked, nothing else."""

from typing import Annotated, Any

import jwt
from fastapi import Depends, HTTPException, Request


def _caller(request: Request) -> dict[str, Any]:
    try:
        token = request.headers["authorization"][7:]
        claims: dict[str, Any] = jwt.decode(token, request.app.state.secret, algorithms=["HS256"])
        return claims
    except (KeyError, jwt.PyJWTError):
        raise HTTPException(401)


Claims = Annotated[dict[str, Any], Depends(_caller)]
