"""
Tests of the dates, download, revocation and renewal information of certificates.
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
    Return the ID of *certificate* in renewal information (RFC 9773, section 4.1).
    """
    leaf = x509.load_pem_x509_certificate(certificate.cert_pem)
    identifier = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert identifier is not None
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1, "big")
    return f"{encode_b64jose(identifier)}.{encode_b64jose(serial)}"


@pytest.fixture
def issued(client: AcmeClient, challenge_server: ChallengeServer) -> Certificate:
    """
    Return a certificate of *client*.
    """
    return client.issue(NAME, server=challenge_server)


class TestDownload:
    def test_only_its_account_downloads_a_certificate(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        Another account cannot download the certificate by its URL.
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
        Each chain links to the other one, and both have the same leaf (RFC 8555, section 7.4.2).
        """
        root = x509.load_pem_x509_certificate(authority.add_root("The other root"))
        url = f"http://127.0.0.1:{authority.port}/certificate/{issued.serial}"

        default = client.post(url)
        other = client.post(default.links["alternate"]["url"])

        leaf, intermediate = x509.load_pem_x509_certificates(other.content)
        assert issued.fullchain_pem == default.content == client.post(other.links["alternate"]["url"]).content
        leaf.verify_directly_issued_by(intermediate)
        intermediate.verify_directly_issued_by(root)
        assert (404, "malformed") == problem_of(client.post(f"{url}-2"))


class TestRevocation:
    def payload(self, issued: Certificate, **fields: object) -> dict[str, object]:
        """
        Return the payload of a request to revoke *issued*.
        """
        leaf = x509.load_pem_x509_certificate(issued.cert_pem).public_bytes(Encoding.DER)
        return {"certificate": encode_b64jose(leaf), **fields}

    def test_an_account_revokes_its_certificate_once(self, client: AcmeClient, issued: Certificate) -> None:
        """
        The account revokes its certificate once; a second request is refused (RFC 8555, section 7.6).
        """
        url = client.directory["revokeCert"]
        assert 200 == client.post(url, self.payload(issued, reason=4)).status_code
        assert (400, "alreadyRevoked") == problem_of(client.post(url, self.payload(issued)))

    def test_the_key_of_a_certificate_revokes_it(
        self, authority: FaultyAuthority, issued: Certificate
    ) -> None:
        """
        The key of a certificate revokes it, so a finder of the key can end its use.
        """
        finder = AcmeClient(authority.directory_url, JWKEC(key=issued.key.key))
        assert finder.post(finder.directory["revokeCert"], self.payload(issued), kid=None).ok

    def test_an_account_with_the_same_names_revokes_a_certificate(
        self, authority: FaultyAuthority, issued: Certificate, challenge_server: ChallengeServer
    ) -> None:
        """
        The new owner of a domain can revoke the certificates of the former owner.
        """
        owner = AcmeClient(authority.directory_url)
        owner.issue(NAME, server=challenge_server)
        assert owner.post(owner.directory["revokeCert"], self.payload(issued)).ok

    def test_others_cannot_revoke_a_certificate(
        self, authority: FaultyAuthority, issued: Certificate
    ) -> None:
        """
        Another account and another key are refused.
        """
        other = AcmeClient(authority.directory_url)
        other.register()
        url = other.directory["revokeCert"]
        assert (403, "unauthorized") == problem_of(other.post(url, self.payload(issued)))
        assert (403, "unauthorized") == problem_of(other.post(url, self.payload(issued), kid=None))

    @pytest.mark.parametrize("reason", [7, 11, -1, "keyCompromise"])
    def test_an_unknown_reason_is_refused(
        self, client: AcmeClient, issued: Certificate, reason: object
    ) -> None:
        """
        An unknown reason is refused. RFC 5280, section 5.3.1, has no reason 7.
        """
        answer = client.post(client.directory["revokeCert"], self.payload(issued, reason=reason))
        assert (400, "badRevocationReason") == problem_of(answer)

    def test_only_certificates_of_this_ca_can_be_revoked(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        The CA revokes only certificates that its intermediate has signed.
        """
        root = x509.load_pem_x509_certificate(authority.root_path.read_bytes()).public_bytes(Encoding.DER)
        answer = client.post(client.directory["revokeCert"], {"certificate": encode_b64jose(root)})

        assert (404, "malformed") == problem_of(answer)
        assert "The certificate is from another CA." == answer.json()["detail"]

    @pytest.mark.parametrize("certificate", ["text", "ä", "", None, 5, ["text"]])
    def test_an_unreadable_certificate_is_not_from_another_ca(
        self, client: AcmeClient, certificate: object
    ) -> None:
        """
        The problem for a text that is no certificate names the fault of the client.
        """
        answer = client.post(client.directory["revokeCert"], {"certificate": certificate})

        assert (400, "malformed") == problem_of(answer)
        assert "The certificate cannot be read." == answer.json()["detail"]


class TestRenewalInfo:
    def window(self, client: AcmeClient, issued: Certificate) -> tuple[datetime, datetime]:
        """
        Return the suggested window of *issued*.
        """
        answer = client.session.get(f"{client.directory['renewalInfo']}/{cert_id(issued)}")
        suggested = answer.json()["suggestedWindow"]
        return datetime.fromisoformat(suggested["start"]), datetime.fromisoformat(suggested["end"])

    def test_the_window_is_at_two_thirds_of_the_lifetime(
        self, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        The window contains the time at which clients without ARI renew.
        """
        start, end = self.window(client, issued)
        third = issued.not_after - (issued.not_after - issued.not_before) / 3
        assert start < third < end

    def test_the_response_has_retry_after(self, client: AcmeClient, issued: Certificate) -> None:
        """
        The response has the Retry-After header that RFC 9773, section 4.3, requires.
        """
        answer = client.session.get(f"{client.directory['renewalInfo']}/{cert_id(issued)}")
        assert "21600" == answer.headers["Retry-After"]

    def test_short_lifetimes_are_not_checked_more_often(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        Retry-After is six hours for a lifetime of 160 hours, as at Let's Encrypt.
        """
        authority.lifetime = timedelta(hours=160)
        issued = client.issue(NAME, server=challenge_server)
        answer = client.session.get(f"{client.directory['renewalInfo']}/{cert_id(issued)}")
        assert "21600" == answer.headers["Retry-After"]

    def test_the_window_survives_a_restart(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        A restarted CA suggests the same window. The serial number contains the dates.
        """
        before = self.window(client, issued)
        with FaultyAuthority(authority.root_path.parent) as another:
            assert before == self.window(AcmeClient(another.directory_url), issued)

    def test_the_policy_moves_all_windows(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        The policy moves the windows of all certificates, with a URL for the reason.
        """
        now = datetime.now(UTC).replace(microsecond=0)
        window = Window(now, now + timedelta(hours=1), "https://certworker.example/incident")
        authority.policy.windows[""] = window
        assert (window.start, window.end) == self.window(client, issued)
        answer = client.session.get(f"{client.directory['renewalInfo']}/{cert_id(issued)}")
        assert window.explanation_url == answer.json()["explanationURL"]

    def test_the_policy_moves_the_window_of_one_name(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        The policy moves the window of one name; other windows stay.
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
        The windows of earlier certificates are in the past. A later certificate has its default
        window.
        """
        default = self.window(client, issued)
        authority.policy.recalled_before = issued.not_before
        assert default == self.window(client, issued)
        authority.policy.recalled_before = issued.not_before + timedelta(seconds=1)
        assert self.window(client, issued)[1] < datetime.now(UTC)

    def test_a_revoked_certificate_is_due(self, client: AcmeClient, issued: Certificate) -> None:
        """
        The window of a revoked certificate is in the past, so its renewal is due (RFC 9773, section
        4.2).
        """
        client.post(client.directory["revokeCert"], TestRevocation().payload(issued))
        assert self.window(client, issued)[1] < datetime.now(UTC)

    @pytest.mark.parametrize("unknown", ["", "x", "x.y", "####.####", "AAAA.AAAA"])
    def test_an_unknown_certificate_is_not_found(self, client: AcmeClient, unknown: str) -> None:
        """
        Certificates of other CAs and invalid IDs have no renewal information.
        """
        answer = client.session.get(f"{client.directory['renewalInfo']}/{unknown}")
        assert (404, "malformed") == problem_of(answer)


class TestReplaces:
    def test_an_order_replaces_a_certificate_once(self, client: AcmeClient, issued: Certificate) -> None:
        """
        A second order for the same certificate is a conflict (RFC 9773, section 5).
        """
        order = client.order(NAME, "www.shop.localhost", replaces=cert_id(issued))
        assert cert_id(issued) == order.content["replaces"]
        assert (409, "alreadyReplaced") == problem_of(client.new_order(NAME, replaces=cert_id(issued)))

    def test_a_failed_replacement_does_not_count(self, client: AcmeClient, issued: Certificate) -> None:
        """
        Another order can replace the certificate after an invalid order.
        """
        order = client.order(NAME, replaces=cert_id(issued))
        client.post(order.content["authorizations"][0], {"status": "deactivated"})
        assert client.new_order(NAME, replaces=cert_id(issued)).ok

    def test_a_replacement_shares_a_name_and_the_account(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate
    ) -> None:
        """
        The CA refuses `replaces` for another name or account, because the order is exempt from
        limits.
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

    @pytest.mark.parametrize(
        ("replaces", "detail"),
        [(3, "cannot be read"), ("text", "cannot be read"), ("eA.eA", "is from another CA")],
    )
    def test_the_reason_for_a_refused_replacement_is_right(
        self, client: AcmeClient, replaces: object, detail: str
    ) -> None:
        """
        Only the ID of a certificate can name another CA.
        """
        answer = client.new_order(NAME, replaces=replaces)

        assert (400, "malformed") == problem_of(answer)
        assert detail in answer.json()["detail"]

    def test_a_restarted_ca_accepts_replaces(
        self, authority: FaultyAuthority, client: AcmeClient, issued: Certificate, tmp_path: Path
    ) -> None:
        """
        A restarted CA accepts `replaces`. It recognizes its certificates by the key identifier.
        """
        with FaultyAuthority(authority.root_path.parent) as another:
            again = AcmeClient(another.directory_url, client.key)
            again.register()
            assert again.new_order(NAME, replaces=cert_id(issued)).ok


class TestDates:
    @pytest.mark.parametrize("lifetime", [timedelta(seconds=5), timedelta(hours=160), timedelta(days=90)])
    def test_a_certificate_has_the_configured_lifetime(
        self,
        authority: FaultyAuthority,
        client: AcmeClient,
        challenge_server: ChallengeServer,
        lifetime: timedelta,
    ) -> None:
        """
        A certificate has the configured lifetime, which can change while the CA runs.
        """
        authority.lifetime = lifetime
        issued = client.issue("shop.localhost", server=challenge_server)
        assert lifetime == issued.not_after - issued.not_before
        issued.check(("shop.localhost",), datetime.now(UTC))

    def test_a_long_validity_starts_an_hour_early(
        self, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        A long validity starts an hour in the past, for clients with a slow clock. Let's Encrypt does
        the same.
        """
        issued = client.issue("shop.localhost", server=challenge_server)
        early = datetime.now(UTC) - issued.not_before
        assert timedelta(hours=1) <= early < timedelta(hours=1, minutes=1)
