"""
The page in the browser: views in HTML, which work without JavaScript.

The templates escape every value, and none marks text as safe. The URLs of links come from `url_for`, or
from the catalog of errors.

In import order (★ to read first)::

    wording     Times and numbers in words
    appearance  The appearance of states: color, shape and words
    prose       The explanations of errors as parts
    components  The components of the running application
    overview  ★ What a user has to fix, and what certworker does next
    names       The search, and the request of a certificate
    name        One name: certificate, failure, records and history
    changes     The actions on a name
    doctor      The checks, as a stream
    errors      The catalog of errors
    failures    The pages for failed requests
"""

from flask import Blueprint

from certworker.errors.pages import codes
from certworker.renewal.policy import in_words
from certworker.web.pages import (
    appearance,
    changes,
    components,
    doctor,
    errors,
    failures,
    name,
    names,
    overview,
    wording,
)

FILTERS = (
    wording.time,
    wording.first_minute,
    wording.seconds,
    wording.iso,
    wording.from_now,
    wording.percent,
    wording.permille,
    wording.counted,
    wording.round_seconds,
    in_words,
    appearance.tone_of_budget,
)


def blueprint() -> Blueprint:
    """
    Return the views, with their templates and static files.
    """
    pages = Blueprint(
        "pages", __name__, template_folder="templates", static_folder="static", static_url_path="/assets"
    )
    pages.add_url_rule("/", view_func=overview.overview)
    pages.add_url_rule("/names", view_func=names.names)
    pages.add_url_rule("/names", view_func=names.request_certificate, methods=["POST"])
    pages.add_url_rule("/names/<name>", view_func=name.name)
    pages.add_url_rule("/names/<name>/records", view_func=name.records)
    pages.add_url_rule("/names/<name>/remove", view_func=changes.confirm_removal)
    pages.add_url_rule("/names/<name>/remove", view_func=changes.remove, methods=["POST"])
    pages.add_url_rule(
        "/names/<name>/<any(renew, retry, resume):action>", view_func=changes.change, methods=["POST"]
    )
    pages.add_url_rule("/doctor", view_func=doctor.doctor)
    pages.add_url_rule("/doctor", view_func=doctor.examine, methods=["POST"])
    pages.add_url_rule("/errors", view_func=errors.errors)
    pages.add_url_rule("/errors/<code>", view_func=errors.error)
    pages.context_processor(components.for_every_view)
    pages.app_context_processor(components.for_every_template)
    for text in FILTERS:
        pages.add_app_template_filter(text)
    pages.add_app_template_filter(appearance.appearance, "look")
    pages.add_app_template_test(lambda code: code in codes(), "known_code")
    failures.register(pages)
    return pages
