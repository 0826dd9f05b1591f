"""
The queue of RQ below `/queue`, as rq-dashboard shows it.

rq-dashboard is written for trusted users and trusted jobs. Here it has these limits:

* It is read-only. The actions of certworker are on the page, which protects them.
* Only the role `admin` without a tenant sees it, and a local user while no token is needed.
* RQ reads no pickles. With a pickle, a program with access to Redis could run code.
* The scripts of rq-dashboard insert the texts of jobs as markup. So the policy allows only its own inline
  scripts, by hash, and the data of the scripts contains no <.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from flask import Flask, Response, abort, g, request, url_for
from redis import Redis
from rq.exceptions import NoSuchJobError
from rq.serializers import JSONSerializer

from certworker.web.access import Refused, current_access
from certworker.web.access.csrf import SAFE
from certworker.worker.json_only import forbid_pickles

PREFIX = "/queue"
BLUEPRINT = "rq_dashboard"

#: The views that only read.
VIEWS = frozenset(
    f"{BLUEPRINT}.{view}"
    for view in (
        *("static", "favicon", "queues_overview", "workers_overview", "jobs_overview", "job_view"),
        *("list_queues", "list_workers", "list_jobs", "job_info"),
    )
)

#: The allowed values of the parts of a path. The templates of rq-dashboard write some of them into a script.
PARTS: Mapping[str, re.Pattern[str]] = {
    "instance_number": re.compile("0"),
    "queue_name": re.compile(r"[\w.:-]{1,200}", re.ASCII),
    "job_id": re.compile(r"[\w.:-]{1,200}", re.ASCII),
    "registry_name": re.compile("queued|failed|deferred|started|finished|scheduled|canceled"),
    "order": re.compile("asc|dsc"),
    "per_page": re.compile("[1-9][0-9]?"),
    "page": re.compile("[1-9][0-9]{0,5}"),
    "filename": re.compile(r"[\w./-]{1,100}", re.ASCII),
}

#: The escape in JSON of the quotation mark that replaces each <.
NO_ELEMENT = rb"\u2039"

INLINE_SCRIPT = re.compile(r'<script type="text/javascript">(.*?)</script>', re.DOTALL)
#: rq-dashboard compiles its templates in the browser, and has styles in its markup.
POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval' {hashes}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


def mount_queue(application: Flask, connection: Redis) -> None:
    """
    Add the views of rq-dashboard to *application* if rq-dashboard is installed.
    """
    if importlib.util.find_spec(BLUEPRINT) is None:
        return
    forbid_pickles()
    dashboard: Any = importlib.import_module("rq_dashboard.web")
    dashboard.config.serializer = JSONSerializer
    application.register_blueprint(dashboard.blueprint, url_prefix=PREFIX)
    # Before each request, rq-dashboard would connect to Redis again.
    application.before_request_funcs.pop(BLUEPRINT, None)
    application.__dict__["redis_conn"] = connection
    application.config["RQ_DASHBOARD_REDIS_URL"] = ("Redis of certworker",)
    # The page of rq-dashboard links to an icon of the application. This route serves rq-dashboard's icon.
    icon = application.view_functions[f"{BLUEPRINT}.static"]
    application.add_url_rule(f"{PREFIX}/icon/<path:filename>", "static", icon)
    application.before_request(_check)
    application.after_request(_allow_its_script)
    application.register_error_handler(NoSuchJobError, lambda _: ("There is no such job.", 404))
    application.context_processor(_link)


def _may_see() -> bool:
    access = g.get("access")
    return access is not None and access.tenant is None and (access.may("admin") or access.is_local)


def _check() -> None:
    """
    For a view of rq-dashboard, check the access, the method, and the parts of the path.
    """
    if request.blueprint != BLUEPRINT:
        return
    current_access()
    if not _may_see():
        raise Refused(
            403,
            "Only the role admin without a tenant sees the queue.",
            "Use a token with the role admin and without a tenant.",
        )
    if request.endpoint not in VIEWS or request.method not in SAFE:
        raise Refused(403, "The queue is read-only.", "Use the actions on the page of a name instead.")
    for part, value in (request.view_args or {}).items():
        # A view without a queue shows the default queue of RQ.
        if value is not None and not PARTS[part].fullmatch(str(value)):
            abort(404)


def _allow_its_script(response: Response) -> Response:
    if request.blueprint == BLUEPRINT and response.mimetype == "application/json":
        # In JSON, < is only in strings. A meta element could redirect the user to another site.
        response.set_data(response.get_data().replace(b"<", NO_ELEMENT).replace(b"\\u003c", NO_ELEMENT))
    if request.blueprint == BLUEPRINT and response.mimetype == "text/html" and not response.is_streamed:
        scripts = INLINE_SCRIPT.findall(response.get_data(as_text=True))
        digests = (b64encode(sha256(script.encode()).digest()).decode() for script in scripts)
        hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
        response.headers["Content-Security-Policy"] = POLICY.format(hashes=hashes)
    return response


def _link() -> dict[str, str]:
    return {"queue_url": url_for(f"{BLUEPRINT}.queues_overview")} if _may_see() else {}
