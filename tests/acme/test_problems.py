"""
Tests of the failures for the problem documents of a CA.
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
#: The end of the text of a limit.
UNTIL = "retry after 2026-11-23 11:00:00 UTC"

#: Codes and types for texts of Boulder and Pebble.
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
    ("acct.user_action", "userActionRequired", "Please confirm your organization"),
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
    ("acme.unknown_problem", "somethingNew", "Unknown"),
    ("ca.server_internal", "serverInternal", "Error creating new order"),
    ("ca.secondary_rpc", "serverInternal", "Secondary validation RPC failed"),
    ("ca.maintenance", "serverInternal", "The service is down for maintenance or had an internal error."),
]


class TestProblem:
    @pytest.mark.parametrize(
        "document", [None, {}, [], "text", {"detail": 5, "identifier": [], "status": "x"}]
    )
    def test_a_document_without_valid_members_is_a_problem(self, document: object) -> None:
        """
        A document without valid members is a problem without a reason. All members are optional (RFC
        7807).
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
    def test_the_name_comes_from_the_identifier_or_the_detail(
        self, document: object, name: str | None
    ) -> None:
        """
        The name comes from the identifier, or from quotation marks in the detail. The remedy needs
        it.
        """
        assert name == Problem.read(document).name

    def test_the_type_is_compared_without_its_prefix(self) -> None:
        """
        A type matches without the prefix of ACME. A type of the CA's own does not match.
        """
        assert Problem(f"{ACME}dns", "x", 400).matches("dns", "")
        assert not Problem("https://ca.example/errors/dns", "x", 400).matches("dns", "")


def answered(document: object, status: int = 400, **headers: str) -> Reply:
    """
    Return a response of a CA with *document*.
    """
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply("https://ca.example/acme/new-order", status, names, json.dumps(document).encode())


def refused(kind: str, detail: str, status: int = 400, **headers: str) -> CertworkerError:
    """
    Return the failure for an ACME problem document.
    """
    reply = answered({"type": ACME + kind, "detail": detail, "status": status}, status, **headers)
    return failure_from_reply(reply, "The CA", NOW)


#: The Link header of the terms.
TERMS = '<https://ca.example/terms>;rel="terms-of-service"'


class TestRefusal:
    @pytest.mark.parametrize(("code", "kind", "detail"), REFUSALS)
    def test_each_known_text_has_its_code(self, code: str, kind: str, detail: str) -> None:
        """
        The failure has the code for the text of the CA. The code determines the retry and the remedy.
        """
        failure = refused(kind, detail)

        assert code == failure.code
        assert {"type": ACME + kind, "detail": detail, "status": 400} == failure.problem

    @pytest.mark.parametrize(("code", "kind", "detail"), REFUSALS)
    def test_a_limit_ends_at_the_time_that_the_ca_states(self, code: str, kind: str, detail: str) -> None:
        """
        The limit resets at the time in the text. Without a time, the validity of the certificate
        decides.
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
    def test_the_status_wins_over_a_general_type(self, code: str, status: int, kind: str) -> None:
        """
        HTTP 404 is not a decision about the request, and HTTP 409 means "in progress" (RFC 9110, section
        15.5).
        """
        failure = refused(kind, "No order for ID 4711", status)

        assert code == failure.code
        if status == 404 or kind == "conflict":
            assert Retry.SOON is failure.retry

    def test_the_remedy_of_a_paused_name_has_the_link(self) -> None:
        """
        The remedy has the link to the page at which the operator ends the pause.
        """
        failure = refused(
            "rateLimited",
            "Your account is temporarily prevented from requesting certificates for x.example.org and "
            "possibly others. Please visit: https://portal.letsencrypt.org/sfe/v1/unpause?jwt=abc.def-g_h",
            429,
        )

        assert "rate.paused" == failure.code
        assert "https://portal.letsencrypt.org/sfe/v1/unpause?jwt=abc.def-g_h and" in failure.remedy

    def test_the_link_in_the_remedy_is_complete(self) -> None:
        """
        The remedy has the complete link, which ends with a signature.
        """
        url = f"https://portal.letsencrypt.org/sfe/v1/unpause?jwt={'x' * 1500}.signature"
        failure = refused("rateLimited", f"You are temporarily prevented from requesting. Visit: {url}", 429)

        assert url in failure.remedy

    def test_changed_terms_have_their_url(self) -> None:
        """
        The remedy has the URL of the terms from the Link header (RFC 8555, section 7.3.3).
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
            ("acct.user_action", "the website of the CA", "Confirm", {}, "urn:uuid:1"),
            ("acct.user_action", "https://ca.example/7", "Visit https://ca.example/7.", {}, 5),
        ],
    )
    def test_a_user_action_has_the_url_of_its_page(
        self, code: str, page: str, detail: str, headers: dict[str, str], instance: object
    ) -> None:
        """
        The remedy has the URL in `instance`, or the terms in the Link header (RFC 8555, section
        7.3.3).
        """
        document = {"type": f"{ACME}userActionRequired", "detail": detail, "instance": instance}

        failure = failure_from_reply(answered(document, 403, **headers), "The CA", NOW)

        assert (code, True) == (failure.code, failure.remedy.endswith(f": {page}"))

    @pytest.mark.parametrize("kind", ["rejectedIdentifier", "unauthorized", "malformed"])
    def test_http_501_means_not_offered(self, kind: str) -> None:
        """
        HTTP 501 means acme.not_offered, whatever the type is. step-ca reports a missing operation as
        `rejectedIdentifier`.
        """
        failure = refused(kind, "The requested operation is not implemented", 501)

        assert "acme.not_offered" == failure.code

    def test_the_first_of_several_problems_counts(self) -> None:
        """
        The first subproblem gives the failure its code and name. The outer text is a summary.
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
    def test_a_web_page_of_a_load_balancer_is_classified_by_its_status(
        self, code: str, status: int, headers: dict[str, str]
    ) -> None:
        """
        The status of a load balancer's web page determines the failure, and its Retry-After header
        counts.
        """
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        page = Reply("https://ca.example/x", status, names, b"<html>Please wait</html>")

        failure = failure_from_reply(page, "The CA", NOW)

        assert code == failure.code
        if failure.retry is Retry.UNTIL:
            assert failure.until == (NOW + HOUR if headers else None)

    def test_the_text_of_the_ca_cannot_forge_a_log_line(self) -> None:
        """
        The text of the CA is printable and short in logs and terminals.
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
    def test_each_document_is_a_failure_with_a_code(self, document: Any, status: int) -> None:
        """
        Each response of a CA is a failure with a code, never an unexpected exception.
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
    def test_a_temporary_failure_is_no_decision(self, decided: bool, status: int, kind: str) -> None:
        """
        A temporary failure is not a decision. After a decision, the CA has certainly not carried out the
        request.
        """
        failure = refused(kind, "no", status)

        assert decided is decides(failure)
        assert (status == 409) is was_conflict(failure)

    def test_a_missing_response_is_no_decision(self) -> None:
        """
        An unreachable CA has decided nothing; it may have carried out the request.
        """
        assert not decides(CaUnreachable(host="ca.example", reason="timeout"))

    @pytest.mark.parametrize(("detail", "sentence"), [("no", "no."), ("No!", "No!"), ("No.", "No.")])
    def test_the_detail_ends_as_a_sentence(self, detail: str, sentence: str) -> None:
        """
        The detail ends with a period, because another sentence follows.
        """
        assert sentence == detail_of(refused("unauthorized", detail))
