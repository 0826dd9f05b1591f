"""
What a person does with the account and with certificates, at CAs that run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from certworker.acme.account import AccountFiles
from certworker.acme.client import AcmeClient
from certworker.acme.order import Order
from certworker.acme.registration import KEY_CHANGE_LAG
from certworker.certificates import Certificate, KeyType, PrivateKey
from certworker.devca.messages import Problem, Request, refusal
from certworker.errors import CertworkerError
from certworker.errors.acct import AccountGone, KeyChangeRefused
from certworker.errors.acme import RevocationRefused
from certworker.errors.ca import CaUnreachable
from certworker.errors.rate import CaBusy
from tests.acme.clients import client_of, issued, presented
from tests.servers.development import ChallengeServer
from tests.servers.fault_injection import Fault
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.pebble import Pebble
from tests.servers.tampering import only, refusing, tampered, with_members

NAME = "demo.localhost"


@pytest.fixture
def client(authority: FaultyAuthority, tmp_path: Path) -> AcmeClient:
    """
    A client with an account.
    """
    made = client_of(authority.directory_url, tmp_path)
    made.order((NAME,))
    return made


@pytest.fixture
def files(authority: FaultyAuthority, tmp_path: Path) -> AccountFiles:
    """
    The files of that account.
    """
    return AccountFiles(tmp_path / "accounts" / "ca", authority.directory_url)


def registrations(authority: FaultyAuthority) -> int:
    """
    How many accounts the CA has made.
    """
    return sum(asked.kind == "newAccount" and asked.status == 201 for asked in authority.requests)


class TestShow:
    def test_it_is_what_the_ca_knows(self, client: AcmeClient, files: AccountFiles) -> None:
        """
        The URL is what a CAA record names (accounturi).
        """
        sheet = client.account_admin.info()

        assert sheet is not None
        assert ("valid", ("mailto:ops@certworker.dev",)) == (sheet.status, sheet.contacts)
        assert "/account/" in sheet.url
        assert client.thumbprint == sheet.thumbprint
        assert files.key_path == sheet.key_path

    def test_looking_makes_no_account(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The command registers no account, because CAs limit new accounts.
        """
        assert client_of(authority.directory_url, tmp_path).account_admin.info() is None
        assert [] == authority.requests

    def test_the_contact_follows_the_setting(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The CA gets the contact that is configured now.
        """
        for contact, known in [("new@certworker.dev", ("mailto:new@certworker.dev",)), (None, ())]:
            client = client_of(authority.directory_url, tmp_path, contact=contact)
            client.order((NAME,))
            sheet = client.account_admin.info()

            assert sheet is not None
            assert known == sheet.contacts


class TestChangeKey:
    def test_the_account_goes_on_with_another_key(
        self,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        client: AcmeClient,
        files: AccountFiles,
    ) -> None:
        """
        The same account, so the same limits and the same accounturi.
        """
        before, old = client.account_admin.info(), files.key_path.read_bytes()

        client.account_admin.rotate_key()

        after = client.account_admin.info()
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
        Pebble behaves the same.
        """
        client = client_of(pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle)
        client.order(("demo.example.com",))
        before = client.account_admin.info()

        client.account_admin.rotate_key()

        after = client.account_admin.info()
        assert before is not None
        assert after is not None
        assert (before.url, True) == (after.url, before.thumbprint != after.thumbprint)
        assert client.order(("other.example.com",)).answers

    def test_cut_off_before_the_request_the_old_key_stays(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        The next order uses the old key, and drops the other one once no replica of the CA can be behind.
        """
        before = client.thumbprint
        with files.locked():
            files.make_next_key()

        client.order((NAME,))
        assert (before, True) == (client.thumbprint, files.changing)

        grow_old(files)
        client.order((NAME,))
        assert (before, False) == (client.thumbprint, files.changing)
        assert 1 == registrations(authority)

    def test_a_key_that_a_replica_does_not_know_yet_is_kept(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        Servers of one CA read from replicas: they know the old key no more, and the new one not yet.
        """
        authority.faults.fail("keyChange", Fault(cut=True))
        with pytest.raises(CertworkerError):
            client.account_admin.rotate_key()
        authority.faults.fail("newAccount", Fault(400, "accountDoesNotExist"), times=2)

        with pytest.raises(AccountGone):
            client.order((NAME,))
        assert files.changing

        client.order((NAME,))
        assert not files.changing
        assert 1 == registrations(authority)

    def test_after_a_connection_lost_behind_the_key_change_the_new_key_is_used(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        The old key is invalid, and the account must not be lost with it.
        """
        old = files.key_path.read_bytes()
        client.account_admin.rotate_key()
        new = client.thumbprint
        files.key_path.replace(files.key_path.with_name("key.next.pem"))
        files.key_path.write_bytes(old)

        client.order((NAME,))

        assert new == client.thumbprint
        assert not files.changing
        assert 1 == registrations(authority)

    @pytest.mark.parametrize("fault", [Fault(cut=True), Fault(500)], ids=["cut", "500"])
    def test_an_answer_that_never_came_is_no_loss(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles, fault: Fault
    ) -> None:
        """
        After a cut the CA has the new key, after a 500 it has not; the account is at work with either.
        """
        authority.faults.fail("keyChange", fault)
        with pytest.raises(CertworkerError):
            client.account_admin.rotate_key()
        assert files.changing

        grow_old(files)
        client.order((NAME,))

        assert not files.changing
        assert 1 == registrations(authority)

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(501, "rejectedIdentifier", detail="The requested operation is not implemented"),
            Fault(403, "unauthorized", detail="not offered"),
            Fault(404, "malformed", detail="Page not found"),
        ],
        ids=["step-ca", "serles", "404"],
    )
    def test_a_ca_that_changes_no_keys_is_reported_as_such(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles, fault: Fault
    ) -> None:
        """
        Whatever type the refusal has, the account keeps its key, and the remedy is another account.
        """
        before = client.thumbprint
        authority.faults.fail("keyChange", fault)

        with pytest.raises(KeyChangeRefused) as caught:
            client.account_admin.rotate_key()

        assert fault.detail in caught.value.message
        assert caught.value.remedy.endswith("certworker account deactivate")
        assert (before, False) == (client.thumbprint, files.changing)
        assert client.order((NAME,)).answers

    def test_a_directory_without_key_change_is_reported_as_such(
        self, authority: FaultyAuthority, tmp_path: Path, files: AccountFiles
    ) -> None:
        """
        No unused key remains on the volume.
        """
        without = only("directory", lambda reply: with_members(reply, keyChange=None))

        with tampered(authority, without), pytest.raises(KeyChangeRefused, match="no keyChange"):
            client_of(authority.directory_url, tmp_path).account_admin.rotate_key()

        assert not files.changing

    @pytest.mark.parametrize("carried_out", [True, False])
    def test_after_a_conflict_the_ca_is_asked_which_key_it_knows(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles, carried_out: bool
    ) -> None:
        """
        A 409 may mean that the CA has the key already, from the same request on another connection.
        """
        before = client.thumbprint
        conflict = Problem("conflict", "already under way", 409)
        if carried_out:
            with tampered(
                authority, only("keyChange", lambda _: refusal(conflict, {"Replay-Nonce": "AAAA"}))
            ):
                client.account_admin.rotate_key()
        else:
            with (
                refusing(authority, lambda request, _: conflict if request.kind == "keyChange" else None),
                pytest.raises(CertworkerError),
            ):
                client.account_admin.rotate_key()

        assert carried_out is (before != client.thumbprint)
        assert client.order((NAME,)).answers
        assert 1 == registrations(authority)

    def test_a_refusal_of_a_change_that_was_cut_off_drops_no_key(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        The earlier request may have been carried out: the key in question may be the account's.
        """
        with files.locked():
            following = files.make_next_key()
        authority.faults.fail("keyChange", Fault(403, "unauthorized"))

        with pytest.raises(CertworkerError):
            client.account_admin.rotate_key()

        assert following == files.next_key()

    def test_an_order_under_way_is_tried_again(
        self, challenge_server: ChallengeServer, client: AcmeClient
    ) -> None:
        """
        The CA refuses the old key of the order as malformed, and the order is retried.
        """
        order: Order = presented(client.order((NAME,)), challenge_server)
        client.account_admin.rotate_key()

        with pytest.raises(AccountGone):
            order.validate()


class TestOddAccounts:
    def test_strange_members_are_no_obstacle(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        What the CA sends is shown as one printable line.
        """
        odd = only("account", lambda reply: with_members(reply, contact={"a": 1}, status=["\x1b[31m"]))

        with tampered(authority, odd):
            sheet = client.account_admin.info()

        assert sheet is not None
        assert () == sheet.contacts
        assert sheet.status.isprintable()


class TestDeactivate:
    def test_the_next_order_makes_another_account(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        The old key remains as a backup.
        """
        before, key = client.account_admin.info(), files.key_path.read_bytes()

        kept = client.account_admin.deactivate()

        assert kept is not None
        assert key == kept.read_bytes()
        assert client.account_admin.info() is None
        client.order((NAME,))
        after = client.account_admin.info()
        assert before is not None
        assert after is not None
        assert before.url != after.url

    def test_without_an_account_nothing_is_ended(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        Nor made.
        """
        assert client_of(authority.directory_url, tmp_path).account_admin.deactivate() is None
        assert [] == authority.requests

    def test_one_that_the_ca_did_not_hear_of_stays(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        The key is moved only after it has become invalid.
        """
        authority.stop()
        before = client.thumbprint

        with pytest.raises(CaUnreachable):
            client.account_admin.deactivate()
        assert before == client.thumbprint

    def test_each_key_is_kept(self, client: AcmeClient) -> None:
        """
        The key of an earlier account is never overwritten.
        """
        kept = set()
        for _ in range(3):
            key = files_key(client)
            path = client.account_admin.deactivate()
            assert path is not None
            assert key == path.read_bytes()
            kept.add(path)
            client.order((NAME,))

        assert ["key.pem.2.bak", "key.pem.3.bak", "key.pem.bak"] == sorted(path.name for path in kept)


class TestRevoke:
    @pytest.fixture
    def certificate(self, client: AcmeClient, challenge_server: ChallengeServer) -> Certificate:
        """
        A certificate of the account.
        """
        return issued(client, challenge_server, NAME)

    @pytest.mark.parametrize("reason", ["superseded", "keyCompromise", "unspecified"])
    def test_once(self, client: AcmeClient, certificate: Certificate, reason: str) -> None:
        """
        Revoking twice is no mistake: who is in a hurry types it twice.
        """
        assert client.account_admin.revoke(certificate, reason)
        assert not client.account_admin.revoke(certificate, reason)

    def test_the_ca_suggests_its_renewal_at_once(
        self, client: AcmeClient, certificate: Certificate, authority: FaultyAuthority
    ) -> None:
        """
        The CA then publishes the revocation.
        """
        client.account_admin.revoke(certificate, "superseded")
        suggestion = client.renewal_suggestion(certificate.renewal_id, NAME)

        assert suggestion is not None
        assert suggestion.window is not None
        assert suggestion.window.end < suggestion.retry_after

    def test_its_own_key_revokes_it_for_another_account(
        self, client: AcmeClient, certificate: Certificate, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The account may have been lost since.
        """
        client.account_admin.deactivate()

        assert client_of(authority.directory_url, tmp_path / "new").account_admin.revoke(
            certificate, "superseded"
        )
        assert 1 == registrations(authority)

    @pytest.mark.parametrize("kind", ["ec256", "ec384", "rsa2048"])
    @pytest.mark.parametrize("ca", ["development", "pebble"])
    def test_a_key_of_any_kind_proves_its_compromise(
        self,
        ca: str,
        kind: KeyType,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        pebble: Pebble,
        tmp_path: Path,
    ) -> None:
        """
        With this proof a CA never certifies the key again.
        """
        port, name = {"development": (0, NAME), "pebble": (pebble.http_port, "demo.example.com")}[ca]
        clients: dict[str, Callable[[], AcmeClient]] = {
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

        assert client.account_admin.revoke(certificate, "keyCompromise")

    @pytest.mark.parametrize("reason", ["superseded", "keyCompromise"])
    @pytest.mark.parametrize("taken", ["kid", "jwk"])
    @pytest.mark.parametrize(
        "problem",
        [
            Problem("accountDoesNotExist", "no such account", 400),
            Problem("unauthorized", "No authorization provided", 403),
            Problem("malformed", "unknown key", 404),
            Problem("rejectedIdentifier", "not implemented", 501),
            Problem("serverInternal", "KeyError: 'kid'", 500),
        ],
        ids=lambda problem: problem.kind,
    )
    def test_the_second_proof_follows_any_refusal_of_the_first(
        self,
        client: AcmeClient,
        certificate: Certificate,
        authority: FaultyAuthority,
        reason: str,
        taken: str,
        problem: Problem,
    ) -> None:
        """
        Some CAs know accounts only, others want the key of the certificate after the account has ended.
        """

        def decide(request: Request, header: dict[str, object]) -> Problem | None:
            return problem if request.kind == "revokeCert" and taken not in header else None

        with refusing(authority, decide):
            assert client.account_admin.revoke(certificate, reason)

    def test_a_refusal_of_both_proofs_has_the_texts_of_the_ca(
        self, client: AcmeClient, certificate: Certificate, authority: FaultyAuthority
    ) -> None:
        """
        The remedy has the serial number, by which the CA finds the certificate.
        """

        def decide(request: Request, header: dict[str, object]) -> Problem | None:
            if request.kind != "revokeCert":
                return None
            return Problem("unauthorized", "not yours" if "kid" in header else "unknown key", 403)

        with refusing(authority, decide), pytest.raises(RevocationRefused) as caught:
            client.account_admin.revoke(certificate, "superseded")

        assert caught.value.message.endswith("to revoke the certificate: not yours. unknown key.")
        assert caught.value.remedy.endswith(certificate.serial)

    def test_a_busy_ca_is_reported_as_busy(
        self, client: AcmeClient, certificate: Certificate, authority: FaultyAuthority
    ) -> None:
        """
        Then the same command may succeed later.
        """
        authority.faults.fail("revokeCert", Fault(429, "rateLimited", 60), times=2)

        with pytest.raises(CaBusy):
            client.account_admin.revoke(certificate, "superseded")

    def test_a_ca_that_is_away_is_asked_once(
        self, client: AcmeClient, certificate: Certificate, authority: FaultyAuthority
    ) -> None:
        """
        A second proof would wait for the same time-out.
        """
        authority.faults.fail("revokeCert", Fault(cut=True), times=None)
        before = len(authority.requests)

        with pytest.raises(CaUnreachable):
            client.account_admin.revoke(certificate, "superseded")

        assert 1 == len(authority.requests[before:])

    def test_a_damaged_account_key_is_no_obstacle(
        self, client: AcmeClient, certificate: Certificate, files: AccountFiles
    ) -> None:
        """
        The certificate's own key is proof enough.
        """
        files.key_path.write_text("no key")

        assert client.account_admin.revoke(certificate, "superseded")


def grow_old(files: AccountFiles) -> None:
    """
    Let the next key be so old that each server of the CA has heard of it, if one has.
    """
    path = files.key_path.with_name("key.next.pem")
    if path.exists():
        long_ago = time.time() - 2 * KEY_CHANGE_LAG.total_seconds()
        os.utime(path, (long_ago, long_ago))


def files_key(client: AcmeClient) -> bytes:
    """
    Return the key file of *client*.
    """
    sheet = client.account_admin.info()
    assert sheet is not None
    return sheet.key_path.read_bytes()
