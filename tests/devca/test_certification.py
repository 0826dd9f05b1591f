"""
Dates, download, revocation and renewal information of certificates.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.json_util import encode_b64jose
from josepy.jwk import JWKEC

from certworker.certificates import Certificate
from certworker.devca.policy import Window
from tests.servers.acme_client import AcmeClient, problem_of
from tests.servers.development import ChallengeServer
from tests.servers.faulty_authority import FaultyAuthority

NAME = "shop.localhost"


def cert_id(certificate: Certificate) -> str:
    """
    How renewal information names *certificate* (RFC 9773, section 4.1).
    """
    leaf = x509.load_pem_x509_certificate(certificate.cert_pem)
    identifier = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert identifier is not None
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
    return f"{encode_b64jose(identifier)}.{encode_b64jose(serial)}"


@pytest.fixture
def issued(client: AcmeClient, challenge_server: ChallengeServer) -> Certificate:
    """
    A certificate of *client*.
    """
    return client.issue(NAME, server=challenge_server)


class TestDownload:
    def test_it_is_for_its_account(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        The URL alone is not enough.
        """
        url = f"http://127.0.0.1:{authority.port}/certificate/{issued.serial}"
        assert issued.fullchain_pem == client.post(url).content
        other = AcmeClient(authority.directory_url)
        other.register()
        assert (403, "unauthorized") == problem_of(other.post(url))

    def test_another_root_adds_another_chain(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        Each links to the other; the leaf is the same (RFC 8555, section 7.4.2).
        """
        root = x509.load_pem_x509_certificate(authority.add_root("The other root"))
        url = f"http://127.0.0.1:{authority.port}/certificate/{issued.serial}"

        usual = client.post(url)
        other = client.post(usual.links["alternate"]["url"])

        leaf, intermediate = x509.load_pem_x509_certificates(other.content)
        assert issued.fullchain_pem == usual.content == client.post(other.links["alternate"]["url"]).content
        leaf.verify_directly_issued_by(intermediate)
        intermediate.verify_directly_issued_by(root)
        assert (404, "malformed") == problem_of(client.post(f"{url}-2"))


class TestRevocation:
    def payload(self, issued: Certificate, **fields: object) -> dict[str, object]:
        """
        Return a request to revoke *issued*.
        """
        leaf = x509.load_pem_x509_certificate(issued.cert_pem).public_bytes(Encoding.DER)
        return {"certificate": encode_b64jose(leaf), **fields}

    def test_its_account_revokes_it_once(self, client: AcmeClient, issued: Certificate) -> None:
        """
        RFC 8555, section 7.6.
        """
        url = client.directory["revokeCert"]
        assert 200 == client.post(url, self.payload(issued, reason=4)).status_code
        assert (400, "alreadyRevoked") == problem_of(client.post(url, self.payload(issued)))

    def test_its_own_key_revokes_it(self, authority: FaultyAuthority, issued: Certificate) -> None:
        """
        A finder of the key can end its use.
        """
        finder = AcmeClient(authority.directory_url, JWKEC(key=issued.key.key))
        assert finder.post(finder.directory["revokeCert"], self.payload(issued), kid=None).ok

    def test_an_account_with_its_names_revokes_it(
        self, authority: FaultyAuthority, issued: Certificate, challenge_server: ChallengeServer
    ) -> None:
        """
        The new owner of a domain may end the certificates of the last one.
        """
        owner = AcmeClient(authority.directory_url)
        owner.issue(NAME, server=challenge_server)
        assert owner.post(owner.directory["revokeCert"], self.payload(issued)).ok

    def test_others_do_not(self, authority: FaultyAuthority, issued: Certificate) -> None:
        """
        Another account and another key are refused.
        """
        other = AcmeClient(authority.directory_url)
        other.register()
        url = other.directory["revokeCert"]
        assert (403, "unauthorized") == problem_of(other.post(url, self.payload(issued)))
        assert (403, "unauthorized") == problem_of(other.post(url, self.payload(issued), kid=None))

    @pytest.mark.parametrize("reason", [7, 11, -1, "keyCompromise"])
    def test_the_reason_is_one_of_the_list(
        self, client: AcmeClient, issued: Certificate, reason: object
    ) -> None:
        """
        RFC 5280, section 5.3.1, has no 7.
        """
        answer = client.post(client.directory["revokeCert"], self.payload(issued, reason=reason))
        assert (400, "badRevocationReason") == problem_of(answer)

    def test_the_certificate_is_from_this_ca(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        The intermediate has not signed the root, and text is not a certificate.
        """
        root = x509.load_pem_x509_certificate(authority.root_path.read_bytes()).public_bytes(Encoding.DER)
        for certificate in (encode_b64jose(root), "text", None):
            answer = client.post(client.directory["revokeCert"], {"certificate": certificate})
            assert (404, "malformed") == problem_of(answer)


class TestRenewalInfo:
    def window(self, client: AcmeClient, issued: Certificate) -> tuple[datetime, datetime]:
        """
        Return the suggested window of *issued*.
        """
        answer = client.session.get(f"{client.directory['renewalInfo']}/{cert_id(issued)}")
        suggested = answer.json()["suggestedWindow"]
        return datetime.fromisoformat(suggested["start"]), datetime.fromisoformat(suggested["end"])

    def test_a_third_of_the_lifetime_is_left_then(self, client: AcmeClient, issued: Certificate) -> None:
        """
        The window is where clients without ARI renew.
        """
        start, end = self.window(client, issued)
        third = issued.not_after - (issued.not_after - issued.not_before) / 3
        assert start < third < end

    def test_it_says_when_to_ask_again(self, client: AcmeClient, issued: Certificate) -> None:
        """
        RFC 9773, section 4.3: Retry-After is required.
        """
        answer = client.session.get(f"{client.directory['renewalInfo']}/{cert_id(issued)}")
        assert "21600" == answer.headers["Retry-After"]

    def test_short_lifetimes_are_not_checked_more_often(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        Let's Encrypt suggests six hours for a lifetime of 160 hours, too.
        """
        authority.lifetime = timedelta(hours=160)
        issued = client.issue(NAME, server=challenge_server)
        answer = client.session.get(f"{client.directory['renewalInfo']}/{cert_id(issued)}")
        assert "21600" == answer.headers["Retry-After"]

    def test_it_survives_a_restart(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        The dates stand in the serial number; the CA needs no memory for them.
        """
        before = self.window(client, issued)
        with FaultyAuthority(authority.root_path.parent) as another:
            assert before == self.window(AcmeClient(another.directory_url), issued)

    def test_the_window_moves(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        Before a mass revocation the CA calls everybody, and says why.
        """
        now = datetime.now(UTC).replace(microsecond=0)
        window = Window(now, now + timedelta(hours=1), "https://certworker.example/incident")
        authority.policy.windows[""] = window
        assert (window.start, window.end) == self.window(client, issued)
        answer = client.session.get(f"{client.directory['renewalInfo']}/{cert_id(issued)}")
        assert window.explanation_url == answer.json()["explanationURL"]

    def test_the_window_of_one_name_moves(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        Others keep theirs.
        """
        before = self.window(client, issued)
        now = datetime.now(UTC).replace(microsecond=0)
        authority.policy.windows["other.localhost"] = Window(now, now)
        assert before == self.window(client, issued)
        authority.policy.windows[NAME] = Window(now, now)
        assert (now, now) == self.window(client, issued)

    def test_certificates_from_before_an_incident_are_due(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        Their windows are over; a certificate that is issued afterwards has its usual window.
        """
        usual = self.window(client, issued)
        authority.policy.recalled_before = issued.not_before
        assert usual == self.window(client, issued)
        authority.policy.recalled_before = issued.not_before + timedelta(seconds=1)
        assert self.window(client, issued)[1] < datetime.now(UTC)

    def test_a_revoked_one_is_due(self, client: AcmeClient, issued: Certificate) -> None:
        """
        A window in the past means a renewal at once (RFC 9773, section 4.2).
        """
        client.post(client.directory["revokeCert"], TestRevocation().payload(issued))
        assert self.window(client, issued)[1] < datetime.now(UTC)

    @pytest.mark.parametrize("unknown", ["", "x", "x.y", "####.####", "AAAA.AAAA"])
    def test_an_unknown_one_is_not_found(self, client: AcmeClient, unknown: str) -> None:
        """
        Certificates of other CAs and invalid ids have no renewal information.
        """
        answer = client.session.get(f"{client.directory['renewalInfo']}/{unknown}")
        assert (404, "malformed") == problem_of(answer)


class TestReplaces:
    def test_an_order_replaces_a_certificate_once(self, client: AcmeClient, issued: Certificate) -> None:
        """
        RFC 9773, section 5: the second one is a conflict.
        """
        order = client.order(NAME, "www.shop.localhost", replaces=cert_id(issued))
        assert cert_id(issued) == order.content["replaces"]
        assert (409, "alreadyReplaced") == problem_of(client.new_order(NAME, replaces=cert_id(issued)))

    def test_a_failed_replacement_does_not_count(self, client: AcmeClient, issued: Certificate) -> None:
        """
        Only an order that is not invalid counts.
        """
        order = client.order(NAME, replaces=cert_id(issued))
        client.post(order.content["authorizations"][0], {"status": "deactivated"})
        assert client.new_order(NAME, replaces=cert_id(issued)).ok

    def test_it_must_share_a_name_and_the_account(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        Otherwise the exemption from limits could be borrowed.
        """
        other = AcmeClient(authority.directory_url)
        other.register()
        answers = [
            client.new_order("other.localhost", replaces=cert_id(issued)),
            other.new_order(NAME, replaces=cert_id(issued)),
            client.new_order(NAME, replaces="x.y"),
            client.new_order(NAME, replaces=3),
        ]
        assert [(400, "malformed")] * 4 == [problem_of(answer) for answer in answers]

    def test_a_restarted_ca_accepts_it(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate, tmp_path: Path
    ) -> None:
        """
        It does not know the certificate any more, but its own signature of the key identifier.
        """
        with FaultyAuthority(authority.root_path.parent) as another:
            again = AcmeClient(another.directory_url, client.key)
            again.register()
            assert again.new_order(NAME, replaces=cert_id(issued)).ok


class TestDates:
    @pytest.mark.parametrize("life", [timedelta(seconds=5), timedelta(hours=160), timedelta(days=90)])
    def test_the_lifetime_is_kept(
        self,
        authority: FaultyAuthority,
        client: AcmeClient,
        challenge_server: ChallengeServer,
        life: timedelta,
    ) -> None:
        """
        A demo shows a renewal after seconds; the lifetime changes while the CA runs.
        """
        authority.lifetime = life
        issued = client.issue("shop.localhost", server=challenge_server)
        assert life == issued.not_after - issued.not_before
        issued.check(("shop.localhost",), datetime.now(UTC))

    def test_a_long_one_begins_an_hour_early(
        self, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        As at Let's Encrypt, for clients whose clock is behind.
        """
        issued = client.issue("shop.localhost", server=challenge_server)
        early = datetime.now(UTC) - issued.not_before
        assert timedelta(hours=1) <= early < timedelta(hours=1, minutes=1)
