"""
Answers of a CA, as values or as a failure.
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
#: What a CA may leave out; without it an order is only not resumed after a crash.
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
    The answer of a CA.
    """
    return Reply("https://ca/x", 200, {}, json.dumps(document).encode())


class TestOrderState:
    def test_it_is_read(self) -> None:
        """
        The certificate's URL comes only with the certificate.
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
        An order without them can be finished, only not gone on with after a crash.
        """
        state = OrderState.read(answered(ORDER | {"identifiers": [7, {}], "expires": "soon"}))

        assert ((), None) == (state.names, state.expires)

    @pytest.mark.parametrize("missing", sorted(ORDER))
    def test_what_is_missing_is_named(self, missing: str) -> None:
        """
        A CA's operator can do something with that.
        """
        with pytest.raises(NotAcme, match=f"no {missing}"):
            OrderState.read(answered({name: value for name, value in ORDER.items() if name != missing}))

    def test_optional_members_of_another_type_count_as_missing(self) -> None:
        """
        They must not cost the certificate.
        """
        strange = {"certificate": 7, "replaces": [], "authorizations": [None, "https://ca/authz/1", 7, {}]}
        state = OrderState.read(answered(ORDER | strange))

        assert (None, None, ("https://ca/authz/1",)) == (
            state.certificate,
            state.replaces,
            state.authorizations,
        )

    def test_a_pending_one_without_authorizations_is_not_acme(self) -> None:
        """
        Nothing could ever become of it.
        """
        with pytest.raises(NotAcme, match="no authorizations"):
            OrderState.read(answered(ORDER | {"authorizations": [7]}))


class TestDirectory:
    @pytest.mark.parametrize(
        "meta", [5, [], "text", {"caaIdentities": 5, "profiles": [], "termsOfService": 7}]
    )
    def test_optional_members_of_another_type_count_as_missing(self, meta: object) -> None:
        """
        Advice of the CA must not cost the certificate.
        """
        urls = {name: f"https://ca/{name}" for name in ("newNonce", "newAccount", "newOrder")}
        directory = Directory.read(answered(urls | {"meta": meta, "renewalInfo": 7, "revokeCert": None}))

        assert ("https://ca/newOrder", ()) == (directory.new_order, directory.caa_identities)
        assert (None, None, {}) == (directory.renewal_info, directory.revoke, directory.profiles)


class TestAuthorization:
    def test_the_last_address_that_the_ca_used_is_kept(self) -> None:
        """
        After a redirection the first one is not to blame.
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
    def test_it_has_failed_once_its_state_or_that_of_its_challenge_is_final(
        self, status: str, challenge: str, failed: bool
    ) -> None:
        """
        Some CAs mark the challenge only (RFC 8555, section 7.1.6).
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

    def test_strange_members_of_the_list_cost_themselves_only(self) -> None:
        """
        The usable HTTP-01 challenge is found wherever it is.
        """
        strange: list[object] = [None, 7, [], {}, {"type": "http-01"}, {"url": "https://ca/2"}, {"type": 7}]
        unusable = {"type": "http-01", "url": "https://ca/chall/3", "token": "no token"}
        found = Authorization.read(
            answered(AUTHORIZATION | {"challenges": [*strange, unusable, *AUTHORIZATION["challenges"]]})
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
        The CA marks the base domain (RFC 8555, section 7.1.4); some CAs name the wildcard.
        """
        document = AUTHORIZATION | {"identifier": {"type": "dns", "value": "shop.org"}} | change

        assert "*.shop.org" == Authorization.read(answered(document)).name

    def test_a_challenge_without_a_status_is_pending(self) -> None:
        """
        The client may respond to it.
        """
        assert ["pending", "pending"] == [
            challenge.status for challenge in Authorization.read(answered(AUTHORIZATION)).challenges
        ]

    def test_a_challenge_of_a_new_kind_is_no_obstacle(self) -> None:
        """
        An unknown type of challenge is ignored; only http-01 must be valid.
        """
        assert ["http-01", "dns-account-01"] == [
            challenge.kind for challenge in Authorization.read(answered(AUTHORIZATION)).challenges
        ]


class TestAnyAnswer:
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys([*ORDER, "certificate", "error"], ANYTHING)))
    def test_is_an_order_or_not_acme(self, document: dict[str, Any]) -> None:
        """
        A broken CA ends an order with a code, never a slot with a traceback.
        """
        read_or_refused(OrderState, document)

    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(AUTHORIZATION, ANYTHING)))
    def test_is_an_authorization_or_not_acme(self, document: dict[str, Any]) -> None:
        """
        An odd value inside another member is no crash either.
        """
        read_or_refused(Authorization, document)

    @given(st.dictionaries(st.sampled_from(["newNonce", "newAccount", "newOrder", "meta"]), ANYTHING))
    def test_is_a_directory_or_not_acme(self, document: dict[str, Any]) -> None:
        """
        An odd directory is no crash either.
        """
        read_or_refused(Directory, document)


def read_or_refused(kind: type[OrderState | Authorization | Directory], document: object) -> None:
    """
    Read *document* as *kind*; only its being unusable is allowed.
    """
    with suppress(NotAcme):
        assert isinstance(kind.read(answered(document)), kind)


class TestLibrary:
    @pytest.mark.parametrize("odd", [None, 7, {"type": "http-01"}, {**CHALLENGE, "token": "%%"}])
    def test_certworker_reads_what_the_library_refuses(self, odd: object) -> None:
        """
        This is the reason for readers of its own: the authorization has a correct challenge as well.
        """
        document = {**AUTHORIZATION, "status": "pending", "challenges": [odd, CHALLENGE]}
        with pytest.raises((TypeError, DeserializationError)):
            messages.Authorization.from_json(document)

        found = Authorization.read(answered(document)).challenge(HTTP01)

        assert found
        assert CHALLENGE["token"] == found.token
