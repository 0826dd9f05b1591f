"""
The overview: what a user has to fix, and what certworker does next.
"""

from __future__ import annotations

from flask import render_template, url_for

from certworker.dashboard.limits import limits
from certworker.dashboard.nodes import nodes
from certworker.dashboard.summary import summary
from certworker.dashboard.workers import workers
from certworker.renewal.domain_status import URGENT
from certworker.web.access import allowed, current_access
from certworker.web.pages.appearance import appearances
from certworker.web.pages.components import index, sources

#: The overview changes with each job.
REFRESH_SECONDS = 10


@allowed("read")
def overview() -> str:
    """
    Return the overview. A tenant sees only its own names, and nothing about the machine.
    """
    tenant = current_access().tenant
    found = summary(sources(), index(), tenant)
    return render_template(
        "pages/overview.html",
        summary=found,
        states=[(look, count) for look in appearances() if (count := found.counts.get(look.state, 0))],
        urgent=sum(found.counts.get(state, 0) for state in URGENT),
        limits=limits(sources()) if tenant is None else (),
        workers=workers(sources()) if tenant is None else (),
        nodes=nodes(sources()) if tenant is None else None,
        refresh_seconds=REFRESH_SECONDS,
        api_url=url_for("api.get_summary"),
    )
