"""
The pages for failed requests.
"""

from __future__ import annotations

from flask import Blueprint, render_template
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException

from certworker.dashboard.names import NotReady
from certworker.errors import CertworkerError
from certworker.redis.failures import address_of, to_failure
from certworker.web.pages.components import sources

#: The seconds after which a browser requests the list of names again.
RELOAD_SECONDS = 3

#: What each status means for a user. Only an action on a certificate that tenants share fails with 403, and
#: only the view of DNS records with 503.
MEANINGS = {
    400: ("This link is wrong", "Start again at the overview."),
    403: (
        "Only an operator can order this certificate",
        "The certificate is also for names of other tenants, or of none.",
    ),
    404: ("There is nothing here", "The page does not exist, or the name is unknown or was removed."),
    405: ("This link is wrong", "Start again at the overview."),
    413: ("The request is too large", "Send a smaller request."),
    500: ("Something went wrong", "The log of certworker has the reason."),
    503: ("Too many requests are waiting for name servers", "Reload this page in a few seconds."),
}


def register(pages: Blueprint) -> None:
    """
    Register the pages for failed requests of the views in *pages*.
    """
    pages.register_error_handler(HTTPException, _refused)
    pages.register_error_handler(RedisError, _no_redis)
    pages.register_error_handler(NotReady, _not_ready)
    pages.register_error_handler(CertworkerError, _failed)


def _refused(error: HTTPException) -> tuple[str, int]:
    status = error.code or 500
    title, text = MEANINGS.get(status, (error.name, "Start again at the overview."))
    return render_template("pages/failure.html", title=title, text=text), status


def _not_ready(_error: NotReady) -> tuple[str, int, dict[str, str]]:
    title, text = "The list of names is being prepared", "This page shows the list when it is ready."
    # A browser reloads the page because of this header, even without JavaScript.
    headers = {"Refresh": str(RELOAD_SECONDS), "Retry-After": str(RELOAD_SECONDS)}
    return render_template("pages/failure.html", title=title, text=text), 503, headers


def _no_redis(error: RedisError) -> tuple[str, int, dict[str, str]]:
    page, status = _failed(to_failure(error, address_of(sources().connection)))
    return page, status, {"Retry-After": str(RELOAD_SECONDS)}


def _failed(failure: CertworkerError) -> tuple[str, int]:
    return render_template("pages/failure.html", title="The request failed", failure=failure), 503
