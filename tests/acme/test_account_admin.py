"""
Tests of the commands for the account and for revocation, against real CAs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
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
from certworker.errors.acct import AccountDeactivated, AccountGone, KeyChangeRefused
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
    Return a client with an account.
    """
    made = client_of(authority.directory_url, tmp_path)
    made.order((NAME,))
    return made


@pytest.fixture
def files(authority: FaultyAuthority, tmp_path: Path) -> AccountFiles:
    """
    Return the files of that account.
    """
    return AccountFiles(tmp_path / "accounts" / "ca", authority.directory_url)


def registrations(authority: FaultyAuthority) -> int:
    """
    Return the number of accounts that the CA has created.
    """
    return sum(request.kind == "newAccount" and request.status == 201 for request in authority.requests)


class TestInfo:
    def test_the_information_comes_from_the_ca(self, client: AcmeClient, files: AccountFiles) -> None:
        """
        The information has the status, contacts and URL of the CA. The URL is the accounturi of a CAA
        record.
        """
        found = client.account_admin.info()

        assert found is not None
        assert ("valid", ("mailto:ops@certworker.dev",)) == (found.status, found.contacts)
        assert "/account/" in found.url
        assert client.thumbprint == found.thumbprint
        assert files.key_path == found.key_path

    def test_no_account_is_created(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The command registers no account, because CAs limit new accounts.
        """
        assert client_of(authority.directory_url, tmp_path).account_admin.info() is None
        assert [] == authority.requests

    def test_a_key_without_an_account_is_not_registered(
        self, authority: FaultyAuthority, files: AccountFiles, tmp_path: Path
    ) -> None:
        """
        The commands report no account for a key that the CA does not know (RFC 8555, section 7.3.1).
        """
        client = client_of(authority.directory_url, tmp_path)
        thumbprint = client.thumbprint

        assert client.account_admin.info() is None
        assert client.account_admin.deactivate() is None

        assert 0 == registrations(authority)
        account = files.read()
        assert account is not None
        assert (thumbprint, None) == (account.thumbprint, account.url)

    def test_a_lost_url_is_found_by_the_key(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        If the file with the URL is lost, the CA returns the account for its key.
        """
        before = client.account_admin.info()
        files.key_path.with_name("account.json").unlink()

        assert before == client.account_admin.info()
        assert 1 == registrations(authority)

    def test_an_account_that_the_ca_has_forgotten_is_not_replaced(
        self, authority: FaultyAuthority, client: AcmeClient, tmp_path: Path
    ) -> None:
        """
        A new contact for an account that the CA no longer knows registers no account.
        """
        authority.forget_accounts()
        changed = client_of(authority.directory_url, tmp_path, contact="new@certworker.dev")

        assert changed.account_admin.info() is None
        assert 1 == registrations(authority)

    def test_a_deactivated_account_is_not_replaced(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        A command after an interrupted deactivation registers no other account, and the key stays.
        """
        key = files.key_path.read_bytes()
        backup = client.account_admin.deactivate()
        assert backup is not None
        backup.rename(files.key_path)

        with pytest.raises(AccountDeactivated):
            client.account_admin.info()

        assert key == files.key_path.read_bytes()
        assert 1 == registrations(authority)

    def test_the_contact_follows_the_setting(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The client sends the configured contact to the CA, and removes a contact that is not
        configured.
        """
        for contact, known in [("new@certworker.dev", ("mailto:new@certworker.dev",)), (None, ())]:
            client = client_of(authority.directory_url, tmp_path, contact=contact)
            client.order((NAME,))
            found = client.account_admin.info()

            assert found is not None
            assert known == found.contacts


class TestChangeKey:
    def test_the_account_continues_with_another_key(
        self,
        authority: FaultyAuthority,
        challenge_server: ChallengeServer,
        client: AcmeClient,
        files: AccountFiles,
    ) -> None:
        """
        The account has the same URL after the change, so its limits and its accounturi stay valid.
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

    def test_pebble_changes_the_key(self, pebble: Pebble, tmp_path: Path) -> None:
        """
        Pebble changes the key and keeps the URL of the account.
        """
        client = client_of(pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle)
        client.order(("demo.example.com",))
        before = client.account_admin.info()

        client.account_admin.rotate_key()

        after = client.account_admin.info()
        assert before is not None
        assert after is not None
        assert (before.url, True) == (after.url, before.thumbprint != after.thumbprint)
        assert client.order(("other.example.com",)).responses

    def test_the_old_key_stays_after_an_interruption_before_the_request(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        The next order uses the old key. It drops the next key after each replica of the CA has caught
        up.
        """
        before = client.thumbprint
        with files.locked():
            files.make_next_key()

        client.order((NAME,))
        assert (before, True) == (client.thumbprint, files.changing)

        age_next_key(files)
        client.order((NAME,))
        assert (before, False) == (client.thumbprint, files.changing)
        assert 1 == registrations(authority)

    def test_the_next_key_stays_while_a_replica_knows_no_key(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        The next key stays while a replica of the CA knows neither the old key nor the next key.
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

    def test_the_new_key_is_used_after_the_response_to_a_key_change_is_lost(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        The next order uses the new key after a lost response. The old key is invalid.
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
    def test_the_account_works_after_a_failed_key_change(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles, fault: Fault
    ) -> None:
        """
        The account works after a failed change. The CA has the new key after a lost response, and the
        old key after HTTP 500.
        """
        authority.faults.fail("keyChange", fault)
        with pytest.raises(CertworkerError):
            client.account_admin.rotate_key()
        assert files.changing

        age_next_key(files)
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
        The account keeps its key whatever type the refusal has. The remedy is another account.
        """
        before = client.thumbprint
        authority.faults.fail("keyChange", fault)

        with pytest.raises(KeyChangeRefused) as caught:
            client.account_admin.rotate_key()

        assert fault.detail in caught.value.message
        assert caught.value.remedy.endswith("certworker account deactivate")
        assert (before, False) == (client.thumbprint, files.changing)
        assert client.order((NAME,)).responses

    def test_a_directory_without_key_change_is_reported_as_such(
        self, authority: FaultyAuthority, tmp_path: Path, files: AccountFiles
    ) -> None:
        """
        The failure names the missing keyChange, and no unused key remains on the volume.
        """
        without = only("directory", lambda reply: with_members(reply, keyChange=None))

        with tampered(authority, without), pytest.raises(KeyChangeRefused, match="no keyChange"):
            client_of(authority.directory_url, tmp_path).account_admin.rotate_key()

        assert not files.changing

    @pytest.mark.parametrize("carried_out", [True, False])
    def test_after_a_conflict_the_client_uses_the_key_that_the_ca_knows(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles, carried_out: bool
    ) -> None:
        """
        The client uses the key that the CA knows after HTTP 409. An earlier request may have changed
        it.
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
        assert client.order((NAME,)).responses
        assert 1 == registrations(authority)

    def test_a_refusal_after_an_interrupted_change_drops_no_key(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        The next key remains after a refusal, because an earlier request may have changed the key of
        the account.
        """
        with files.locked():
            next_key = files.make_next_key()
        authority.faults.fail("keyChange", Fault(403, "unauthorized"))

        with pytest.raises(CertworkerError):
            client.account_admin.rotate_key()

        assert next_key == files.next_key()

    def test_a_pending_order_of_the_old_key_is_retried(
        self, challenge_server: ChallengeServer, client: AcmeClient
    ) -> None:
        """
        An order with the old key fails with AccountGone, which the job retries. The CA refuses its
        requests as malformed.
        """
        order: Order = presented(client.order((NAME,)), challenge_server)
        client.account_admin.rotate_key()

        with pytest.raises(AccountGone):
            order.validate()


class TestMalformedAccounts:
    def test_members_of_the_wrong_type_are_shown_as_printable_text(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        Members of the wrong type are shown as one printable line, or left out.
        """
        malformed_account = only(
            "account", lambda reply: with_members(reply, contact={"a": 1}, status=["\x1b[31m"])
        )

        with tampered(authority, malformed_account):
            found = client.account_admin.info()

        assert found is not None
        assert () == found.contacts
        assert found.status.isprintable()


class TestDeactivate:
    def test_the_next_order_registers_another_account(
        self, authority: FaultyAuthority, client: AcmeClient, files: AccountFiles
    ) -> None:
        """
        The next order registers another account, and the old key remains as a backup.
        """
        before, key = client.account_admin.info(), files.key_path.read_bytes()

        old_key = client.account_admin.deactivate()

        assert old_key is not None
        assert key == old_key.read_bytes()
        assert client.account_admin.info() is None
        client.order((NAME,))
        after = client.account_admin.info()
        assert before is not None
        assert after is not None
        assert before.url != after.url

    def test_without_an_account_no_request_is_sent(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The command sends no request and registers no account.
        """
        assert client_of(authority.directory_url, tmp_path).account_admin.deactivate() is None
        assert [] == authority.requests

    def test_the_key_stays_if_the_ca_is_unreachable(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        The key stays if the CA is unreachable. It becomes a backup only after the CA has deactivated
        the account.
        """
        authority.stop()
        before = client.thumbprint

        with pytest.raises(CaUnreachable):
            client.account_admin.deactivate()
        assert before == client.thumbprint

    def test_each_old_key_has_a_backup(self, client: AcmeClient) -> None:
        """
        Each deactivated key has a backup of its own; none is overwritten.
        """
        old_keys = set()
        for _ in range(3):
            key = files_key(client)
            path = client.account_admin.deactivate()
            assert path is not None
            assert key == path.read_bytes()
            old_keys.add(path)
            client.order((NAME,))

        assert ["key.pem.2.bak", "key.pem.3.bak", "key.pem.bak"] == sorted(path.name for path in old_keys)


class TestRevoke:
    @pytest.fixture
    def certificate(self, client: AcmeClient, challenge_server: ChallengeServer) -> Certificate:
        """
        Return a certificate of the account.
        """
        return issued(client, challenge_server, NAME)

    @pytest.mark.parametrize("reason", ["superseded", "keyCompromise", "unspecified"])
    def test_a_second_revocation_changes_nothing(
        self, client: AcmeClient, certificate: Certificate, reason: str
    ) -> None:
        """
        The second revocation of a certificate succeeds without a change.
        """
        assert client.account_admin.revoke(certificate, reason)
        assert not client.account_admin.revoke(certificate, reason)

    def test_a_revoked_certificate_is_due_for_renewal(
        self, client: AcmeClient, certificate: Certificate, authority: FaultyAuthority
    ) -> None:
        """
        The renewal window of a revoked certificate has passed, so the renewal is due now.
        """
        client.account_admin.revoke(certificate, "superseded")
        suggestion = client.renewal_suggestion(certificate.renewal_id, (NAME,))

        assert suggestion is not None
        assert suggestion.window is not None
        assert suggestion.window.end < suggestion.retry_after

    def test_the_key_of_a_certificate_revokes_it_for_another_account(
        self, client: AcmeClient, certificate: Certificate, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        A client with another account revokes the certificate with the certificate's own key. The
        first account may be lost.
        """
        client.account_admin.deactivate()

        assert client_of(authority.directory_url, tmp_path / "new").account_admin.revoke(
            certificate, "superseded"
        )
        assert 1 == registrations(authority)

    @pytest.mark.parametrize("lost", ["unknown", "deactivated", "blocked"])
    def test_a_revocation_registers_no_account(
        self,
        lost: str,
        client: AcmeClient,
        certificate: Certificate,
        authority: FaultyAuthority,
        files: AccountFiles,
    ) -> None:
        """
        With an account key that the CA does not accept, the key of the certificate signs.
        """
        files.key_path.with_name("account.json").unlink()
        if lost == "unknown":
            authority.forget_accounts()
        status = {"unknown": "valid", "deactivated": "deactivated", "blocked": "revoked"}[lost]
        changed = only("newAccount", lambda reply: with_members(reply, status=status))

        with tampered(authority, changed) if lost != "unknown" else nullcontext():
            assert client.account_admin.revoke(certificate, "superseded")

        assert 1 == registrations(authority)
        assert files.key_path.is_file()

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
        Each key type of a certificate can sign its revocation. The CA then never accepts the key
        again.
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
    @pytest.mark.parametrize("accepted", ["kid", "jwk"])
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
    def test_the_other_key_is_tried_after_any_refusal(
        self,
        client: AcmeClient,
        certificate: Certificate,
        authority: FaultyAuthority,
        reason: str,
        accepted: str,
        problem: Problem,
    ) -> None:
        """
        The client revokes with the other key after any refusal. Some CAs accept only the account's
        key, others only the certificate's.
        """

        def decide(request: Request, header: dict[str, object]) -> Problem | None:
            return problem if request.kind == "revokeCert" and accepted not in header else None

        with refusing(authority, decide):
            assert client.account_admin.revoke(certificate, reason)

    def test_a_refusal_of_both_keys_has_the_texts_of_the_ca(
        self, client: AcmeClient, certificate: Certificate, authority: FaultyAuthority
    ) -> None:
        """
        The message has both texts of the CA. The remedy has the serial number, by which the CA finds
        the certificate.
        """

        def decide(request: Request, header: dict[str, object]) -> Problem | None:
            if request.kind != "revokeCert":
                return None
            return Problem("unauthorized", "not yours" if "kid" in header else "unknown key", 403)

        with refusing(authority, decide), pytest.raises(RevocationRefused) as caught:
            client.account_admin.revoke(certificate, "superseded")

        assert caught.value.message.endswith("to revoke the certificate: not yours. unknown key.")
        assert caught.value.remedy.endswith(certificate.serial)

    def test_a_directory_without_revocation_is_reported_as_such(
        self, certificate: Certificate, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The failure names the missing revokeCert, and blames no proxy.
        """
        without = only("directory", lambda reply: with_members(reply, revokeCert=None))
        fresh = client_of(authority.directory_url, tmp_path)

        with tampered(authority, without), pytest.raises(RevocationRefused) as caught:
            fresh.account_admin.revoke(certificate, "superseded")

        assert caught.value.message.endswith("to revoke the certificate: its directory has no revokeCert.")

    def test_a_busy_ca_is_reported_as_busy(
        self, client: AcmeClient, certificate: Certificate, authority: FaultyAuthority
    ) -> None:
        """
        A rate limit is reported as CaBusy, because the same command may succeed later.
        """
        authority.faults.fail("revokeCert", Fault(429, "rateLimited", 60), times=2)

        with pytest.raises(CaBusy):
            client.account_admin.revoke(certificate, "superseded")

    def test_an_unreachable_ca_gets_one_request(
        self, client: AcmeClient, certificate: Certificate, authority: FaultyAuthority
    ) -> None:
        """
        The client sends one request to an unreachable CA. A second key would wait for the same
        timeout.
        """
        authority.faults.fail("revokeCert", Fault(cut=True), times=None)
        before = len(authority.requests)

        with pytest.raises(CaUnreachable):
            client.account_admin.revoke(certificate, "superseded")

        assert 1 == len(authority.requests[before:])

    def test_a_damaged_account_key_prevents_no_revocation(
        self, client: AcmeClient, certificate: Certificate, files: AccountFiles
    ) -> None:
        """
        The certificate's own key is a sufficient proof if the key of the account cannot be read.
        """
        files.key_path.write_text("no key")

        assert client.account_admin.revoke(certificate, "superseded")


def age_next_key(files: AccountFiles) -> None:
    """
    Make the next key so old that each replica of the CA would know it.
    """
    path = files.key_path.with_name("key.next.pem")
    if path.exists():
        past = time.time() - 2 * KEY_CHANGE_LAG.total_seconds()
        os.utime(path, (past, past))


def files_key(client: AcmeClient) -> bytes:
    """
    Return the content of the key file of *client*.
    """
    found = client.account_admin.info()
    assert found is not None
    return found.key_path.read_bytes()
