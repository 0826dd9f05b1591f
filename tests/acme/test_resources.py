"""
Tests of the values and failures for the responses of a CA.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from acme import messages
from hypothesis import given
from hypothesis import strategies as st
from josepy.errors import DeserializationError

from certworker.acme.resources import Authorization, Directory, OrderState
from certworker.acme.transport import Reply
from certworker.challenges.challenge import HTTP01
from certworker.errors.ca import NotAcme

ORDER = {"status": "pending", "authorizations": ["https://ca/authz/1"], "finalize": "https://ca/finalize/1"}
#: Optional members of an order. An order without them cannot be resumed after a crash.
MORE = {
    "identifiers": [{"type": "dns", "value": "Shop.example.org"}],
    "expires": "2026-11-30T00:00:00Z",
}
AUTHORIZATION = {
    "status": "invalid",
    "identifier": {"type": "dns", "value": "api.shop.org"},
    "challenges": [
        {
            "type": "http-01",
            "url": "https://ca/chall/1",
            "token": "T",
            "error": {"type": "urn:ietf:params:acme:error:dns"},
            "validationRecord": [{"addressUsed": "203.0.113.7"}, {"addressUsed": "2001:db8::1"}],
        },
        {"type": "dns-account-01", "url": "https://ca/chall/2"},
    ],
}

#: A correct challenge.
CHALLENGE = {
    "type": "http-01",
    "url": "https://ca/chall/1",
    "token": "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA",
    "status": "pending",
}

#: Documents that have the right members with any content.
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def answered(document: object) -> Reply:
    """
    Return a response of a CA with *document*.
    """
    return Reply("https://ca/x", 200, {}, json.dumps(document).encode())


class TestOrderState:
    def test_a_pending_order_is_read(self) -> None:
        """
        A pending order has all members but the URL of the certificate.
        """
        assert OrderState.read(answered(ORDER | MORE)) == OrderState(
            status="pending",
            names=("shop.example.org",),
            expires=datetime(2026, 11, 30, tzinfo=UTC),
            authorizations=("https://ca/authz/1",),
            finalize="https://ca/finalize/1",
            certificate=None,
            replaces=None,
            error=None,
        )

    def test_names_and_expiry_may_be_missing(self) -> None:
        """
        An order without names and expiry is valid, but cannot be resumed after a crash.
        """
        state = OrderState.read(answered(ORDER | {"identifiers": [7, {}], "expires": "soon"}))

        assert ((), None) == (state.names, state.expires)

    @pytest.mark.parametrize("missing", sorted(ORDER))
    def test_a_missing_member_is_named(self, missing: str) -> None:
        """
        The failure names the missing member for the operator of the CA.
        """
        with pytest.raises(NotAcme, match=f"no (valid )?{missing}"):
            OrderState.read(answered({name: value for name, value in ORDER.items() if name != missing}))

    def test_optional_members_of_another_type_count_as_missing(self) -> None:
        """
        Optional members of the wrong type do not prevent the order.
        """
        malformed = {"certificate": 7, "replaces": [], "authorizations": [None, "https://ca/authz/1", 7, {}]}
        state = OrderState.read(answered(ORDER | malformed))

        assert (None, None, ("https://ca/authz/1",)) == (
            state.certificate,
            state.replaces,
            state.authorizations,
        )

    def test_a_pending_order_without_authorizations_is_not_acme(self) -> None:
        """
        A pending order without authorizations is rejected, because it can never become ready.
        """
        with pytest.raises(NotAcme, match="no authorizations"):
            OrderState.read(answered(ORDER | {"authorizations": [7]}))


class TestDirectory:
    @pytest.mark.parametrize(
        "meta", [5, [], "text", {"caaIdentities": 5, "profiles": [], "termsOfService": 7}]
    )
    def test_optional_members_of_another_type_count_as_missing(self, meta: object) -> None:
        """
        Optional members of the wrong type do not prevent the use of the directory.
        """
        urls = {name: f"https://ca/{name}" for name in ("newNonce", "newAccount", "newOrder")}
        directory = Directory.read(answered(urls | {"meta": meta, "renewalInfo": 7, "revokeCert": None}))

        assert ("https://ca/newOrder", ()) == (directory.new_order, directory.caa_identities)
        assert (None, None, {}) == (directory.renewal_info, directory.revoke, directory.profiles)

    def test_an_invalid_optional_url_is_ignored_with_a_warning(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The warning about an invalid optional URL does not blame the whole response.
        """
        urls = {name: f"https://ca/{name}" for name in ("newNonce", "newAccount", "newOrder")}
        directory = Directory.read(answered(urls | {"renewalInfo": "ftp://ca/\n", "keyChange": None}))

        assert (None, None) == (directory.renewal_info, directory.change_key)
        (line,) = (record.getMessage() for record in caplog.records)
        assert line.startswith("ignoring an invalid URL in the response from ca: renewalInfo is 'ftp://ca/")
        assert line.endswith(", which is not an HTTP URL")


class TestAuthorization:
    def test_the_last_address_that_the_ca_used_is_stored(self) -> None:
        """
        A challenge has the last address of its validation records, which is the address after a
        redirect.
        """
        found = Authorization.read(answered(AUTHORIZATION))

        assert ("api.shop.org", "invalid") == (found.name, found.status)
        assert ["2001:db8::1", None] == [challenge.address for challenge in found.challenges]

    @pytest.mark.parametrize(
        ("status", "challenge", "failed"),
        [
            ("pending", "pending", False),
            ("pending", "processing", False),
            ("pending", "valid", False),
            ("pending", "invalid", True),
            ("valid", "invalid", False),
            ("invalid", "pending", True),
            ("deactivated", "pending", True),
            ("expired", "valid", True),
            ("revoked", "valid", True),
        ],
    )
    def test_a_final_authorization_or_an_invalid_challenge_has_failed(
        self, status: str, challenge: str, failed: bool
    ) -> None:
        """
        An invalid challenge fails its pending authorization, because some CAs mark only the challenge
        (RFC 8555, section 7.1.6).
        """
        found = Authorization.read(
            answered(
                AUTHORIZATION
                | {
                    "status": status,
                    "challenges": [{"type": "http-01", "url": "https://ca/1", "status": challenge}],
                }
            )
        )

        assert failed is found.has_failed(HTTP01)

    def test_malformed_challenges_are_skipped(self) -> None:
        """
        The usable HTTP-01 challenge is found among malformed challenges.
        """
        malformed: list[object] = [None, 7, [], {}, {"type": "http-01"}, {"url": "https://ca/2"}, {"type": 7}]
        unusable = {"type": "http-01", "url": "https://ca/chall/3", "token": "no token"}
        found = Authorization.read(
            answered(AUTHORIZATION | {"challenges": [*malformed, unusable, *AUTHORIZATION["challenges"]]})
        )

        challenge = found.challenge(HTTP01)
        assert challenge is not None
        assert "https://ca/chall/1" == challenge.url
        assert 3 == len(found.challenges)

    @pytest.mark.parametrize(
        "change",
        [
            {"wildcard": True},
            {"identifier": {"type": "dns", "value": "*.Shop.org"}},
            {"identifier": {"type": "dns", "value": "*.shop.org"}, "wildcard": True},
        ],
    )
    def test_an_authorization_for_a_wildcard_has_its_name(self, change: dict[str, object]) -> None:
        """
        The name is the wildcard, whether the CA marks the base domain (RFC 8555, section 7.1.4) or
        names the wildcard.
        """
        document = AUTHORIZATION | {"identifier": {"type": "dns", "value": "shop.org"}} | change

        assert "*.shop.org" == Authorization.read(answered(document)).name

    def test_a_challenge_without_a_status_is_pending(self) -> None:
        """
        The client may respond to a challenge without a status.
        """
        assert ["pending", "pending"] == [
            challenge.status for challenge in Authorization.read(answered(AUTHORIZATION)).challenges
        ]

    def test_a_challenge_of_an_unknown_type_is_allowed(self) -> None:
        """
        A challenge of an unknown type is read, and the client uses another one.
        """
        assert ["http-01", "dns-account-01"] == [
            challenge.kind for challenge in Authorization.read(answered(AUTHORIZATION)).challenges
        ]


class TestAnyDocument:
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys([*ORDER, "certificate", "error"], ANYTHING)))
    def test_each_document_is_an_order_or_not_acme(self, document: dict[str, Any]) -> None:
        """
        Each document is an order or raises NotAcme.
        """
        read_or_refused(OrderState, document)

    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(AUTHORIZATION, ANYTHING)))
    def test_each_document_is_an_authorization_or_not_acme(self, document: dict[str, Any]) -> None:
        """
        Each document is an authorization or raises NotAcme.
        """
        read_or_refused(Authorization, document)

    @given(st.dictionaries(st.sampled_from(["newNonce", "newAccount", "newOrder", "meta"]), ANYTHING))
    def test_each_document_is_a_directory_or_not_acme(self, document: dict[str, Any]) -> None:
        """
        Each document is a directory or raises NotAcme.
        """
        read_or_refused(Directory, document)


def read_or_refused(kind: type[OrderState | Authorization | Directory], document: object) -> None:
    """
    Read *document* as *kind*. Allow no exception but NotAcme.
    """
    with suppress(NotAcme):
        assert isinstance(kind.read(answered(document)), kind)


class TestLibrary:
    @pytest.mark.parametrize("malformed", [None, 7, {"type": "http-01"}, {**CHALLENGE, "token": "%%"}])
    def test_certworker_reads_what_the_library_refuses(self, malformed: object) -> None:
        """
        The correct challenge is found, although the `acme` library refuses the whole authorization.
        """
        document = {**AUTHORIZATION, "status": "pending", "challenges": [malformed, CHALLENGE]}
        with pytest.raises((TypeError, DeserializationError)):
            messages.Authorization.from_json(document)

        found = Authorization.read(answered(document)).challenge(HTTP01)

        assert found
        assert CHALLENGE["token"] == found.token
