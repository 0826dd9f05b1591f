"""
The names: a search with filters, and the request of a certificate.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any, get_args

from flask import abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from certworker.dashboard.actions import OtherTenant
from certworker.dashboard.names import NameQuery, Sort
from certworker.domains import normalize
from certworker.errors import CertworkerError
from certworker.web.access import allowed, current_access
from certworker.web.pages.appearance import appearances
from certworker.web.pages.components import actions, index

REFRESH_SECONDS = 20

NAMES_PER_PAGE = 50
LONGEST_FILTER = 253

SORTS = (("urgency", "urgency"), ("expiry", "expiry"), ("name", "name"))
DUES = (("", "any time"), ("0m", "now"), ("1d", "1 day"), ("7d", "7 days"), ("30d", "30 days"))
UNITS = {"d": "days", "h": "hours", "m": "minutes"}

FILTERS = ("text", "state", "tenant", "issuer", "due", "sort", "cursor")


@allowed("read")
def names() -> str:
    """
    Return a page of names. The query of the URL has the filters.
    """
    return _page({name: request.args.get(name, "") for name in FILTERS})


@allowed("operate")
def request_certificate() -> Response | tuple[str, int]:
    """
    Request a certificate for the name in the form, and redirect to its view.
    """
    access, domain = current_access(), request.form.get("domain", "").strip()
    try:
        actions().request([domain], by=access.identity, tenant=access.tenant)
    except CertworkerError as failure:
        return _page(dict.fromkeys(FILTERS, ""), failure=failure, requested=domain), 422
    except OtherTenant:
        return _page(dict.fromkeys(FILTERS, ""), taken=True, requested=domain), 409
    name = normalize(domain, private=True, wildcards=True)
    return redirect(url_for("pages.name", name=name, done="request"), 303)


def _page(
    filters: dict[str, str],
    *,
    failure: CertworkerError | None = None,
    taken: bool = False,
    requested: str = "",
) -> str:
    tenant = current_access().tenant
    try:
        page = index().page(_query(filters, tenant))
    except ValueError:
        abort(400)
    chosen: dict[str, Any] = {name: value for name, value in filters.items() if value}
    without_cursor: dict[str, Any] = {name: value for name, value in chosen.items() if name != "cursor"}
    return render_template(
        "pages/names.html",
        page=page,
        filters=filters,
        filtered=bool(set(chosen) - {"sort", "cursor"}),
        looks=appearances(),
        dues=DUES,
        sorts=SORTS,
        failure=failure,
        taken=taken,
        removed=request.args.get("done") == "remove",
        requested=requested,
        first_url=url_for("pages.names", **without_cursor),
        next_url=url_for("pages.names", **{**without_cursor, "cursor": page.next_cursor}),
        refresh_seconds=REFRESH_SECONDS,
        api_url=url_for("api.list_names", **chosen),
    )


def _query(filters: dict[str, str], tenant: str | None) -> NameQuery:
    text = {name: value[:LONGEST_FILTER] for name, value in filters.items()}
    sort: Sort = next((each for each in get_args(Sort) if each == filters["sort"]), "urgency")
    return NameQuery(
        text=text["text"],
        state=text["state"],
        tenant=tenant if tenant is not None else text["tenant"] or None,
        issuer=text["issuer"],
        due=_span(filters["due"]),
        sort=sort,
        cursor=filters["cursor"],
        limit=NAMES_PER_PAGE,
    )


def _span(text: str) -> timedelta | None:
    found = re.fullmatch(r"(\d{1,4})([dhm])", text, re.ASCII)
    return timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None
