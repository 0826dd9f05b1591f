"""
Problem documents, as a CA sends them, and the failures that they are.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.acme.problems import ACME, Problem, decides, detail_of, failure_from_reply, was_conflict
from certworker.acme.transport import Reply
from certworker.errors import CertworkerError, Retry
from certworker.errors.ca import CaUnreachable

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
#: How the text of a limit ends.
UNTIL = "retry after 2026-11-23 11:00:00 UTC"

#: Boulder's and Pebble's own texts.
REFUSALS = [
    (
        "rate.failed_validations",
        "rateLimited",
        f'too many failed authorizations (5) for "x.example.org" in the last 1h0m0s, {UNTIL}',
    ),
    (
        "rate.duplicate",
        "rateLimited",
        f"too many certificates (5) already issued for this exact set of identifiers, {UNTIL}",
    ),
    (
        "rate.registered_domain",
        "rateLimited",
        f'too many certificates (50) already issued for "sslip.io" in the last 168h0m0s, {UNTIL}',
    ),
    (
        "rate.registered_domain",
        "rateLimited",
        "Error creating new cert :: too many certificates already issued for: example.org",
    ),
    (
        "rate.new_orders",
        "rateLimited",
        f"too many new orders (300) from this account in the last 3h0m0s, {UNTIL}",
    ),
    (
        "acct.too_many",
        "rateLimited",
        f"too many new registrations (10) from this IP address in the last 3h0m0s, {UNTIL}",
    ),
    ("rate.busy", "rateLimited", "Service busy; retry later."),
    ("acct.gone", "accountDoesNotExist", "No account exists with the provided key"),
    ("acct.deactivated", "unauthorized", "An account with the provided public key exists but is deactivated"),
    ("acct.deactivated", "unauthorized", 'Account is not valid, has status "deactivated"'),
    ("acct.blocked", "unauthorized", "Account blocked"),
    ("acct.tos", "malformed", "must agree to terms of service"),
    ("acct.tos", "userActionRequired", "Terms of service have changed"),
    ("acct.user_action", "userActionRequired", "Please confirm your organisation"),
    ("acct.eab", "externalAccountRequired", "External account binding is required"),
    ("acct.eab", "unauthorized", "invalid eab credentials"),
    ("acct.contact", "malformed", "Contact information is missing"),
    ("config.email_invalid", "invalidContact", 'contact email has forbidden domain "example.com"'),
    ("config.email_invalid", "unsupportedContact", "only contact scheme 'mailto:' is supported"),
    (
        "name.policy",
        "rejectedIdentifier",
        "The ACME server refuses to issue a certificate for this domain name, … forbidden by policy",
    ),
    ("caa.forbidden", "caa", "While processing CAA for x: CAA record for example.org prevents issuance"),
    ("acme.authorization_gone", "unauthorized", "authorizations for these identifiers not found: x"),
    (
        "acme.order_not_ready",
        "orderNotReady",
        'Order\'s status ("pending") is not acceptable for finalization',
    ),
    ("acme.bad_csr", "badCSR", "Error parsing certificate request: signature algorithm not supported"),
    ("acme.bad_nonce", "badNonce", "JWS has an invalid anti-replay nonce"),
    ("acme.already_replaced", "alreadyReplaced", "Cannot indicate an order replaces certificate twice"),
    ("acme.invalid_profile", "invalidProfile", "Profile 'x' not in allowed list"),
    ("acme.malformed", "malformed", "Unable to parse JWS"),
    ("acme.unknown_problem", "somethingNew", "Nobody knows"),
    ("ca.server_internal", "serverInternal", "Error creating new order"),
    ("ca.secondary_rpc", "serverInternal", "Secondary validation RPC failed"),
    ("ca.maintenance", "serverInternal", "The service is down for maintenance or had an internal error."),
]


class TestProblem:
    @pytest.mark.parametrize(
        "document", [None, {}, [], "text", {"detail": 5, "identifier": [], "status": "x"}]
    )
    def test_a_problem_without_words_is_still_one(self, document: object) -> None:
        """
        RFC 7807 makes every member optional, and a CA may get them wrong.
        """
        assert Problem("about:blank", "no reason given", 0) == Problem.read(document)

    @pytest.mark.parametrize(
        ("document", "name"),
        [
            (
                {"identifier": {"type": "dns", "value": "b.shop.org"}, "detail": 'for "a.shop.org"'},
                "b.shop.org",
            ),
            ({"detail": 'too many failed authorizations (5) for "a.shop.org" in the last 1h'}, "a.shop.org"),
            ({"detail": "No account"}, None),
        ],
    )
    def test_the_name_is_the_identifier_or_quoted(self, document: object, name: str | None) -> None:
        """
        The remedy needs it: which of twenty names is it about?
        """
        assert name == Problem.read(document).name

    def test_the_type_is_compared_without_its_prefix(self) -> None:
        """
        Some CAs have types of their own, which must not be taken for ACME's.
        """
        assert Problem(f"{ACME}dns", "x", 400).matches("dns", "")
        assert not Problem("https://ca.example/errors/dns", "x", 400).matches("dns", "")


def answered(document: object, status: int = 400, **headers: str) -> Reply:
    """
    The answer of a CA.
    """
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply("https://ca.example/acme/new-order", status, names, json.dumps(document).encode())


def refused(kind: str, detail: str, status: int = 400, **headers: str) -> CertworkerError:
    """
    The failure for a problem document of ACME.
    """
    reply = answered({"type": ACME + kind, "detail": detail, "status": status}, status, **headers)
    return failure_from_reply(reply, "The CA", NOW)


#: Where the terms are.
TERMS = '<https://ca.example/terms>;rel="terms-of-service"'


class TestRefusal:
    @pytest.mark.parametrize(("code", "kind", "detail"), REFUSALS)
    def test_each_known_text_has_its_code(self, code: str, kind: str, detail: str) -> None:
        """
        The code decides the retry and the remedy.
        """
        failure = refused(kind, detail)

        assert code == failure.code
        assert {"type": ACME + kind, "detail": detail, "status": 400} == failure.problem

    @pytest.mark.parametrize(("code", "kind", "detail"), REFUSALS)
    def test_a_limit_has_the_moment_that_the_ca_names(self, code: str, kind: str, detail: str) -> None:
        """
        Without one, the validity of the certificate decides the pause.
        """
        failure = refused(kind, detail)

        if failure.retry is Retry.UNTIL:
            assert failure.until == (NOW + HOUR if UNTIL in detail else None)

    @pytest.mark.parametrize(
        ("code", "status", "kind"),
        [
            ("acme.not_found", 404, "malformed"),
            ("acme.not_found", 404, "somethingNew"),
            ("acme.malformed", 400, "malformed"),
            ("acct.gone", 404, "accountDoesNotExist"),
            ("acme.conflict", 409, "conflict"),
            ("acme.conflict", 409, "somethingNew"),
            ("acme.already_replaced", 409, "alreadyReplaced"),
        ],
    )
    def test_the_status_decides_where_the_type_says_little(self, code: str, status: int, kind: str) -> None:
        """
        A 404 is no decision about the request, and a 409 means "in progress" (RFC 9110, section 15.5).
        """
        failure = refused(kind, "No order for ID 4711", status)

        assert code == failure.code
        if status == 404 or kind == "conflict":
            assert Retry.SOON is failure.retry

    def test_a_paused_name_shows_the_link_that_ends_it(self) -> None:
        """
        Only a person can end the pause, and only at that page.
        """
        failure = refused(
            "rateLimited",
            "Your account is temporarily prevented from requesting certificates for x.example.org and "
            "possibly others. Please visit: https://portal.letsencrypt.org/sfe/v1/unpause?jwt=abc.def-g_h",
            429,
        )

        assert "rate.paused" == failure.code
        assert "https://portal.letsencrypt.org/sfe/v1/unpause?jwt=abc.def-g_h and" in failure.remedy

    def test_the_link_in_the_message_is_complete(self) -> None:
        """
        The link has a signed list of names, and does not work without its end.
        """
        url = f"https://portal.letsencrypt.org/sfe/v1/unpause?jwt={'x' * 1500}.signature"
        failure = refused("rateLimited", f"You are temporarily prevented from requesting. Visit: {url}", 429)

        assert url in failure.remedy

    def test_changed_terms_show_where_they_are(self) -> None:
        """
        RFC 8555, section 7.3.3: the page is in a Link header.
        """
        failure = refused(
            "userActionRequired",
            "Terms have changed",
            403,
            Link='<https://ca.example/directory>;rel="index", <https://ca.example/tos>;rel="terms-of-service"',
        )

        assert failure.remedy.endswith("https://ca.example/tos")

    @pytest.mark.parametrize(
        ("code", "page", "detail", "headers", "instance"),
        [
            ("acct.tos", "https://ca.example/agree?t=1", "Terms have changed", {"Link": TERMS}, "/agree?t=1"),
            (
                "acct.tos",
                "https://ca.example/agree",
                "Please act",
                {"Link": TERMS},
                "https://ca.example/agree",
            ),
            ("acct.user_action", "https://ca.example/42", "Confirm", {}, "https://ca.example/42"),
            ("acct.user_action", "the web site of the CA", "Confirm", {}, "urn:uuid:1"),
            ("acct.user_action", "https://ca.example/7", "Visit https://ca.example/7.", {}, 5),
        ],
    )
    def test_a_user_action_shows_the_page_for_it(
        self, code: str, page: str, detail: str, headers: dict[str, str], instance: object
    ) -> None:
        """
        RFC 8555, section 7.3.3: the page is the problem's `instance`; the terms are in a Link header.
        """
        document = {"type": f"{ACME}userActionRequired", "detail": detail, "instance": instance}

        failure = failure_from_reply(answered(document, 403, **headers), "The CA", NOW)

        assert (code, True) == (failure.code, failure.remedy.endswith(f": {page}"))

    @pytest.mark.parametrize("kind", ["rejectedIdentifier", "unauthorized", "malformed"])
    def test_a_501_is_no_judgment_of_the_request(self, kind: str) -> None:
        """
        The status is read before the type: step-ca calls what it lacks `rejectedIdentifier`.
        """
        failure = refused(kind, "The requested operation is not implemented", 501)

        assert "acme.not_offered" == failure.code

    def test_the_first_of_several_problems_counts(self) -> None:
        """
        The subproblem has the name; the outer text is only a summary.
        """
        inner = {
            "type": ACME + "rejectedIdentifier",
            "detail": "forbidden by policy",
            "identifier": {"type": "dns", "value": "b.example.org"},
        }
        outer = {"type": ACME + "malformed", "detail": "Some were rejected", "subproblems": [inner]}

        failure = failure_from_reply(answered(outer), "The CA", NOW)

        assert "name.policy" == failure.code
        assert "The policy of The CA excludes b.example.org: forbidden by policy." == failure.message

    @pytest.mark.parametrize(
        ("code", "status", "headers"),
        [
            ("rate.busy", 503, {"Retry_After": "3600"}),
            ("rate.busy", 429, {}),
            ("ca.maintenance", 503, {}),
            ("ca.server_internal", 502, {}),
            ("ca.not_json", 404, {}),
            ("acme.not_offered", 501, {}),
        ],
    )
    def test_a_load_balancer_speaks_no_acme(self, code: str, status: int, headers: dict[str, str]) -> None:
        """
        Let's Encrypt's sends 503 with a web page and Retry-After, before any of ACME is reached.
        """
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        page = Reply("https://ca.example/x", status, names, b"<html>Please wait</html>")

        failure = failure_from_reply(page, "The CA", NOW)

        assert code == failure.code
        if failure.retry is Retry.UNTIL:
            assert failure.until == (NOW + HOUR if headers else None)

    def test_what_the_ca_writes_cannot_forge_a_line(self) -> None:
        """
        Its text ends in logs and terminals: no line breaks, no colours, no megabytes.
        """
        failure = refused("malformed", "\x1b[31mfine\r\nERROR fake line" + "x" * 1_000_000)

        assert failure.problem is not None
        assert all(text.isprintable() for text in (failure.message, failure.problem["detail"]))
        assert len(failure.message) < 700

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["type", "detail", "title", "status", "subproblems", "identifier", "value"]
                    ),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=12,
        ),
        st.integers(400, 599),
    )
    def test_no_document_is_too_strange(self, document: Any, status: int) -> None:
        """
        Every answer of a CA is a failure with a code, never an unexpected exception.
        """
        failure = failure_from_reply(answered(document, status), "The CA", NOW)

        assert isinstance(failure, CertworkerError)
        assert failure.code


class TestDecides:
    @pytest.mark.parametrize(
        ("decided", "status", "kind"),
        [
            (True, 403, "unauthorized"),
            (True, 501, "rejectedIdentifier"),
            (False, 400, "badNonce"),
            (False, 409, "conflict"),
            (False, 429, "rateLimited"),
            (False, 500, "serverInternal"),
        ],
    )
    def test_a_passing_state_of_the_ca_is_no_decision(self, decided: bool, status: int, kind: str) -> None:
        """
        Only a decision makes sure that the CA has not carried out the request.
        """
        failure = refused(kind, "no", status)

        assert decided is decides(failure)
        assert (status == 409) is was_conflict(failure)

    def test_neither_is_no_answer(self) -> None:
        """
        The request may have been carried out.
        """
        assert not decides(CaUnreachable(host="ca.example", reason="time-out"))

    @pytest.mark.parametrize(("detail", "sentence"), [("no", "no."), ("No!", "No!"), ("No.", "No.")])
    def test_its_words_end_as_a_sentence(self, detail: str, sentence: str) -> None:
        """
        A remedy or another detail follows.
        """
        assert sentence == detail_of(refused("unauthorized", detail))
