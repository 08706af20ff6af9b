"""Basic authentication, with the user and password that Label Studio stores for a backend."""

import secrets
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from ml_backend.settings import Settings

CHALLENGE = {"WWW-Authenticate": 'Basic realm="Prelabel"'}

scheme = HTTPBasic(realm="Prelabel", auto_error=False)

Credentials = Annotated[HTTPBasicCredentials | None, Depends(scheme)]
"""User and password of a request; None where it has none."""


async def authenticate(request: Request, given: Credentials) -> None:
    """Require ``BASIC_AUTH_USER`` and ``BASIC_AUTH_PASS``, if they are set.

    Raises:
        HTTPException: 401.
    """
    settings: Settings = request.app.state.service.settings
    user, password = settings.basic_auth_user, settings.basic_auth_pass
    if user is None or password is None:
        return
    # Both comparisons always run, in constant time, so that a wrong user takes as long as a wrong password.
    right_user = secrets.compare_digest((given.username if given else "").encode(), user.encode())
    right_password = secrets.compare_digest(
        (given.password if given else "").encode(), password.get_secret_value().encode()
    )
    if not (right_user and right_password):
        raise HTTPException(401, "user and password required", headers=CHALLENGE)
