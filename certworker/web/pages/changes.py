"""
The actions on a name: renew, retry, resume, and remove after a confirmation.
"""

from __future__ import annotations

from flask import abort, redirect, render_template, url_for
from werkzeug.wrappers import Response

from certworker.dashboard.actions import OtherTenant
from certworker.errors import CertworkerError
from certworker.web.access import allowed, current_access
from certworker.web.pages.components import actions
from certworker.web.pages.name import known, show


@allowed("operate")
def change(name: str, action: str) -> Response | tuple[str, int]:
    """
    Request *action* for *name*, and redirect to its view.
    """
    status, access = known(name), current_access()
    starts = {"renew": actions().renew, "retry": actions().retry, "resume": actions().resume}
    if action not in starts:
        abort(404)
    try:
        starts[action](status.name, by=access.identity, tenant=access.tenant)
    except OtherTenant:
        abort(403)
    except CertworkerError as failure:
        return show(status, refused=failure), 409
    return redirect(url_for("pages.name", name=status.name, done=action), 303)


@allowed("operate")
def confirm_removal(name: str) -> str:
    """
    Return the question before the removal of *name*.
    """
    return render_template("pages/remove.html", status=known(name))


@allowed("operate")
def remove(name: str) -> Response | tuple[str, int]:
    """
    Request the removal of *name*, and redirect to the names.
    """
    status = known(name)
    try:
        actions().remove(status.name, by=current_access().identity)
    except CertworkerError as failure:
        return show(status, refused=failure), 409
    return redirect(url_for("pages.names", done="remove"), 303)
