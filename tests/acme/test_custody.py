"""
What a person does with the account and with certificates, at CAs that run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from certworker.acme.account import AccountFiles
from certworker.acme.authority import Authority
from certworker.acme.order import Order
from certworker.certificates import Certificate, KeyType, PrivateKey
from certworker.development.authority import DevelopmentAuthority
from certworker.development.misbehaviour import Fault
from certworker.errors import CertworkerError
from certworker.errors.authority import AccountGone, AuthorityUnreachable
from tests.acme.clients import client_of, issued, presented
from tests.servers.development import ChallengeServer
from tests.servers.pebble import Pebble

NAME = "demo.localhost"


@pytest.fixture
def client(authority: DevelopmentAuthority, tmp_path: Path) -> Authority:
    """
    A client with an account.
    """
    made = client_of(authority.directory_url, tmp_path)
    made.order((NAME,))
    return made


@pytest.fixture
def files(authority: DevelopmentAuthority, tmp_path: Path) -> AccountFiles:
    """
    The files of that account.
    """
    return AccountFiles(tmp_path / "accounts" / "ca", authority.directory_url)


def registrations(authority: DevelopmentAuthority) -> int:
    """
    How many accounts the CA has made.
    """
    return sum(asked.kind == "newAccount" and asked.status == 201 for asked in authority.requests)


class TestShow:
    def test_it_is_what_the_ca_knows(self, client: Authority, files: AccountFiles) -> None:
        """
        The URL is what a CAA record names (accounturi).
        """
        sheet = client.custody.show()

        assert sheet is not None
        assert ("valid", ("mailto:ops@certworker.dev",)) == (sheet.status, sheet.contacts)
        assert "/account/" in sheet.url
        assert client.thumbprint == sheet.thumbprint
        assert files.key_path == sheet.key_path

    def test_looking_makes_no_account(self, authority: DevelopmentAuthority, tmp_path: Path) -> None:
        """
        Accounts are limited; whoever only looks needs none.
        """
        assert client_of(authority.directory_url, tmp_path).custody.show() is None
        assert [] == authority.requests

    def test_the_contact_follows_the_setting(self, authority: DevelopmentAuthority, tmp_path: Path) -> None:
        """
        The CA writes to whoever is in charge today.
        """
        for contact, known in [("new@certworker.dev", ("mailto:new@certworker.dev",)), (None, ())]:
            client = client_of(authority.directory_url, tmp_path, contact=contact)
            client.order((NAME,))
            sheet = client.custody.show()

            assert sheet is not None
            assert known == sheet.contacts


class TestChangeKey:
    def test_the_account_goes_on_with_another_key(
        self,
        authority: DevelopmentAuthority,
        challenge_server: ChallengeServer,
        client: Authority,
        files: AccountFiles,
    ) -> None:
        """
        The same account, so the same limits and the same accounturi.
        """
        before, old = client.custody.show(), files.key_path.read_bytes()

        client.custody.change_key()

        after = client.custody.show()
        assert before is not None
        assert after == replace(before, thumbprint=client.thumbprint)
        assert before.thumbprint != client.thumbprint
        assert old != files.key_path.read_bytes()
        assert 0o600 == files.key_path.stat().st_mode & 0o777
        assert not files.changing
        assert (NAME,) == issued(client, challenge_server, NAME).names
        assert 1 == registrations(authority)

    def test_pebble_takes_it(self, pebble: Pebble, tmp_path: Path) -> None:
        """
        A CA that we did not write.
        """
        client = client_of(pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle)
        client.order(("demo.example.com",))
        before = client.custody.show()

        client.custody.change_key()

        after = client.custody.show()
        assert before is not None
        assert after is not None
        assert (before.url, True) == (after.url, before.thumbprint != after.thumbprint)
        assert client.order(("other.example.com",)).answers

    def test_cut_off_before_the_ca_was_told_the_old_key_stays(
        self, authority: DevelopmentAuthority, client: Authority, files: AccountFiles
    ) -> None:
        """
        The new key was durable, the power went: the next order finds out.
        """
        before = client.thumbprint
        with files.locked():
            files.make_next_key()

        client.order((NAME,))

        assert before == client.thumbprint
        assert not files.changing
        assert 1 == registrations(authority)

    def test_cut_off_after_the_ca_was_told_the_new_key_is_used(
        self, authority: DevelopmentAuthority, client: Authority, files: AccountFiles
    ) -> None:
        """
        The old one is of no use any more, and the account must not be lost with it.
        """
        old = files.key_path.read_bytes()
        client.custody.change_key()
        new = client.thumbprint
        files.key_path.replace(files.key_path.with_name("key.next.pem"))
        files.key_path.write_bytes(old)

        client.order((NAME,))

        assert new == client.thumbprint
        assert not files.changing
        assert 1 == registrations(authority)

    @pytest.mark.parametrize("fault", [Fault(cut=True), Fault(500)], ids=["cut", "500"])
    def test_an_answer_that_never_came_is_no_loss(
        self, authority: DevelopmentAuthority, client: Authority, files: AccountFiles, fault: Fault
    ) -> None:
        """
        After a cut the CA has the new key, after a 500 it has not; the account is at work with either.
        """
        authority.misbehaviour.fail("keyChange", fault)
        with pytest.raises(CertworkerError):
            client.custody.change_key()
        assert files.changing

        client.order((NAME,))

        assert not files.changing
        assert 1 == registrations(authority)

    def test_an_order_under_way_is_tried_again(
        self, challenge_server: ChallengeServer, client: Authority
    ) -> None:
        """
        It was placed with the old key, which the CA refuses as malformed: a fault of nobody.
        """
        order: Order = presented(client.order((NAME,)), challenge_server)
        client.custody.change_key()

        with pytest.raises(AccountGone):
            order.validate()


class TestDeactivate:
    def test_the_next_order_makes_another_account(
        self, authority: DevelopmentAuthority, client: Authority, files: AccountFiles
    ) -> None:
        """
        And the old key is kept: nobody knows what it is still good for.
        """
        before, key = client.custody.show(), files.key_path.read_bytes()

        kept = client.custody.deactivate()

        assert kept is not None
        assert key == kept.read_bytes()
        assert client.custody.show() is None
        client.order((NAME,))
        after = client.custody.show()
        assert before is not None
        assert after is not None
        assert before.url != after.url

    def test_without_an_account_nothing_is_ended(
        self, authority: DevelopmentAuthority, tmp_path: Path
    ) -> None:
        """
        Nor made.
        """
        assert client_of(authority.directory_url, tmp_path).custody.deactivate() is None
        assert [] == authority.requests

    def test_one_that_the_ca_did_not_hear_of_stays(
        self, authority: DevelopmentAuthority, client: Authority
    ) -> None:
        """
        The key is put aside only when it is of no use any more.
        """
        authority.stop()
        before = client.thumbprint

        with pytest.raises(AuthorityUnreachable):
            client.custody.deactivate()
        assert before == client.thumbprint


class TestRevoke:
    @pytest.fixture
    def certificate(self, client: Authority, challenge_server: ChallengeServer) -> Certificate:
        """
        A certificate of the account.
        """
        return issued(client, challenge_server, NAME)

    @pytest.mark.parametrize("reason", ["superseded", "keyCompromise", "unspecified"])
    def test_once(self, client: Authority, certificate: Certificate, reason: str) -> None:
        """
        Revoking twice is no mistake: who is in a hurry types it twice.
        """
        assert client.custody.revoke(certificate, reason)
        assert not client.custody.revoke(certificate, reason)

    def test_the_ca_suggests_its_renewal_at_once(
        self, client: Authority, certificate: Certificate, authority: DevelopmentAuthority
    ) -> None:
        """
        So that whoever else serves it learns of it, too.
        """
        client.custody.revoke(certificate, "superseded")
        suggestion = client.suggestion(certificate.renewal_id, NAME)

        assert suggestion is not None
        assert suggestion.window is not None
        assert suggestion.window.end < suggestion.ask_again

    def test_its_own_key_revokes_it_for_another_account(
        self, client: Authority, certificate: Certificate, authority: DevelopmentAuthority, tmp_path: Path
    ) -> None:
        """
        The account may have been lost since.
        """
        client.custody.deactivate()

        assert client_of(authority.directory_url, tmp_path / "new").custody.revoke(certificate, "superseded")
        assert 1 == registrations(authority)

    @pytest.mark.parametrize("kind", ["ec256", "ec384", "rsa2048"])
    @pytest.mark.parametrize("ca", ["development", "pebble"])
    def test_a_key_of_any_kind_proves_its_compromise(
        self,
        ca: str,
        kind: KeyType,
        authority: DevelopmentAuthority,
        challenge_server: ChallengeServer,
        pebble: Pebble,
        tmp_path: Path,
    ) -> None:
        """
        With that proof a CA refuses the key for ever, whoever sends it.
        """
        port, name = {"development": (0, NAME), "pebble": (pebble.http_port, "demo.example.com")}[ca]
        clients: dict[str, Callable[[], Authority]] = {
            "development": lambda: client_of(authority.directory_url, tmp_path),
            "pebble": lambda: client_of(pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle),
        }
        client = clients[ca]()
        with ChallengeServer(port=port) as at_pebble:
            site = at_pebble if port else challenge_server
            order = presented(client.order((name,)), site)
            order.validate()
            key = PrivateKey.generate(kind)
            certificate = Certificate.from_pem(order.finalize(key.sign_request((name,))), key)

        assert client.custody.revoke(certificate, "keyCompromise")
