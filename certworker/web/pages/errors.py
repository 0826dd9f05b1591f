"""
The catalog of errors, and a view for each code.
"""

from __future__ import annotations

from flask import abort, render_template

from certworker.errors import catalog
from certworker.errors.pages import messages_of, sections_of, template
from certworker.errors.systemd import for_this_machine
from certworker.web.access import allowed
from certworker.web.pages.prose import blocks


@allowed("read")
def errors() -> str:
    """
    Return the catalog: the code and the message of each failure.
    """
    families: dict[str, list[tuple[str, str]]] = {}
    for failure in catalog():
        family = families.setdefault(failure.code.partition(".")[0], [])
        family.append((failure.code, template(failure.message_template)))
    return render_template("pages/errors.html", families=families)


@allowed("read")
def error(code: str) -> str:
    """
    Return the view of the failure with *code*.
    """
    failure = next((each for each in catalog() if each.code == code), None)
    if failure is None:
        abort(404)
    return render_template(
        "pages/error.html",
        code=code,
        messages=messages_of(failure),
        parts={title: tuple(blocks(text)) for title, text in sections_of(failure, for_this_machine).items()},
    )
