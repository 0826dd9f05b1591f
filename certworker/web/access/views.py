"""
The access of the current request, and the role that a view needs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from flask import g

from certworker.settings.web import Role
from certworker.web.access.csrf import check_csrf
from certworker.web.access.refusals import Refused
from certworker.web.access.roles import Access

View = TypeVar("View", bound=Callable[..., Any])


def current_access() -> Access:
    """
    Return the access of the current request.

    Raises:
        Refused: The request has no access.
    """
    access: Access | None = g.access
    if access is None:
        raise Refused(401, "A token is needed.", "Create one: certworker token create --role read")
    return access


def allowed(*roles: Role) -> Callable[[View], View]:
    """
    Return the decorator of a view that needs one of *roles*.

    The view responds with 401 if the request has no access. It responds with 403 if the request has another
    role, or is an action without a valid CSRF token.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(*arguments: Any, **named: Any) -> Any:
            access = current_access()
            if not any(map(access.may, roles)):
                needed = " or ".join(roles)
                raise Refused(
                    403, f"The role {access.role} may not do this.", f"Use a token with the role {needed}."
                )
            check_csrf()
            return view(*arguments, **named)

        return checked  # type: ignore[return-value]  # functools.wraps keeps the type of the view

    return decorate
