"""
Tests of the registration of an account and its changes, at a real CA.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from certworker.acme import transport
from certworker.acme.client import AcmeClient
from certworker.acme.registration import ExternalAccountBinding
from certworker.devca.messages import Reply, Request
from certworker.errors.acct import AccountBlocked, AccountKeyUnreadable, ExternalAccountRequired
from certworker.errors.ca import CaUnreachable, NotAcme
from certworker.errors.config import EmailInvalid
from tests.acme.clients import client_of, issued
from tests.servers.development import ChallengeServer
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.pebble import Pebble, programs
from tests.servers.tampering import only, tampered, with_headers, with_members

NAMES = ("demo.localhost",)
ROOT = Path(__file__).parents[2]


def request_types(authority: FaultyAuthority) -> list[str]:
    """
    Return the types of the requests to the CA, without directory and nonces.
    """
    return [request.kind for request in authority.requests if request.kind not in ("directory", "newNonce")]


def files(directory: Path) -> Path:
    """
    Return the directory of the account of a client with its state in *directory*.
    """
    return directory / "accounts" / "ca"


def known(directory: Path) -> dict[str, object]:
    """
    Return the content of account.json.
    """
    found: dict[str, object] = json.loads((files(directory) / "account.json").read_text())
    return found


class TestFirstOrder:
    def test_the_first_order_creates_a_key_and_registers_it(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The first order registers an account, and only the owner can read the key.
        """
        client_of(authority.directory_url, tmp_path).order(NAMES)

        assert ["newAccount", "newAccount", "newOrder", "authorization"] == request_types(authority)
        assert 0o600 == (files(tmp_path) / "key.pem").stat().st_mode & 0o777
        assert 0o700 == files(tmp_path).stat().st_mode & 0o777
        assert "ops@certworker.dev" == known(tmp_path)["contact"]

    def test_the_next_order_registers_no_account(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        A second client reads the account from the volume. CAs limit new accounts, so restarts must
        not register any.
        """
        client_of(authority.directory_url, tmp_path).order(NAMES)
        client_of(authority.directory_url, tmp_path).order(NAMES)

        assert 2 == request_types(authority).count("newAccount")

    def test_a_lost_url_is_found_by_the_key(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        A damaged account.json needs one more request, and no new account.
        """
        client_of(authority.directory_url, tmp_path).order(NAMES)
        url = known(tmp_path)["url"]
        (files(tmp_path) / "account.json").write_text('{"schema": 1, "url": 5')

        client_of(authority.directory_url, tmp_path).order(NAMES)

        assert url == known(tmp_path)["url"]
        assert 3 == request_types(authority).count("newAccount")

    def test_the_url_of_another_ca_is_not_used(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        An account URL is used only with its directory. Two directories of one host can have one
        label.
        """
        client_of(authority.directory_url, tmp_path).order(NAMES)
        stored = known(tmp_path) | {"directory": "http://other.example/directory"}
        (files(tmp_path) / "account.json").write_text(json.dumps(stored))

        client_of(authority.directory_url, tmp_path).order(NAMES)

        assert authority.directory_url == known(tmp_path)["directory"]

    def test_the_url_of_another_key_is_not_used(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        After the operator has moved a damaged key away, the next order registers an account with a new key.
        """
        client_of(authority.directory_url, tmp_path).order(NAMES)
        before = known(tmp_path)
        (files(tmp_path) / "key.pem").rename(files(tmp_path) / "key.pem.damaged")

        client_of(authority.directory_url, tmp_path).order(NAMES)

        assert before["url"] != known(tmp_path)["url"]
        assert before["thumbprint"] != known(tmp_path)["thumbprint"]

    def test_a_relative_url_is_made_absolute(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The stored URL is absolute. It is the key ID of each request, compared as a whole (RFC 8555,
        section 6.2).
        """
        with tampered(authority, relative_location):
            client_of(authority.directory_url, tmp_path).order(NAMES)

        assert str(known(tmp_path)["url"]).startswith(authority.directory_url.removesuffix("directory"))

    @pytest.mark.parametrize("url", ["/account/1", "", "file:///x", 5])
    def test_an_invalid_stored_url_is_found_by_the_key(
        self, authority: FaultyAuthority, tmp_path: Path, url: object
    ) -> None:
        """
        An invalid stored URL is replaced. Earlier versions stored what the CA sent.
        """
        client_of(authority.directory_url, tmp_path).order(NAMES)
        right = known(tmp_path)
        (files(tmp_path) / "account.json").write_text(json.dumps(right | {"url": url}))

        client_of(authority.directory_url, tmp_path).order(NAMES)

        assert right == known(tmp_path)

    def test_a_response_without_a_location_is_not_acme(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The failure names the missing header.
        """
        without = only("newAccount", lambda reply: with_headers(reply, Location=None))

        with (
            tampered(authority, without),
            pytest.raises(NotAcme, match="HTTP 201 without a Location header"),
        ):
            client_of(authority.directory_url, tmp_path).order(NAMES)


class TestThumbprint:
    def test_the_thumbprint_needs_no_ca(self, tmp_path: Path) -> None:
        """
        The thumbprint is available while the CA is unreachable, so a responder can use it.
        """
        client = client_of("http://127.0.0.1:9/directory", tmp_path)

        assert 43 == len(client.thumbprint)
        assert client.thumbprint == client_of("http://127.0.0.1:9/directory", tmp_path).thumbprint


class TestContact:
    def test_a_new_address_is_sent_to_the_ca(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The next order after a change to the setting updates the contact of the account.
        """
        client_of(authority.directory_url, tmp_path).order(NAMES)

        client_of(authority.directory_url, tmp_path, contact="new@certworker.dev").order(NAMES)

        assert 1 == request_types(authority).count("account")
        assert "new@certworker.dev" == known(tmp_path)["contact"]

    def test_a_contact_is_optional(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        An account can have no contact, for example at a private CA.
        """
        client_of(authority.directory_url, tmp_path, contact=None).order(NAMES)

        assert known(tmp_path)["contact"] is None

    def test_a_refused_contact_names_the_setting(self, pebble: Pebble, tmp_path: Path) -> None:
        """
        The remedy for the CA's invalidContact names the variable.
        """
        client = client_of(pebble.directory_url, tmp_path, ca_bundle=pebble.ca_bundle, contact="a b")

        with pytest.raises(EmailInvalid) as caught:
            client.order(("contact.example.test",))

        assert "_APP_EMAIL_CERTIFICATES" in caught.value.remedy

    def test_a_lost_account_with_a_new_address_is_registered_again(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        A lost account is registered with the new contact, before any update of the contact.
        """
        client_of(authority.directory_url, tmp_path).order(NAMES)
        authority.forget_accounts()

        client_of(authority.directory_url, tmp_path, contact="new@certworker.dev").order(NAMES)

        assert "new@certworker.dev" == known(tmp_path)["contact"]


class TestDeactivated:
    def test_a_deactivated_account_is_replaced_and_the_old_key_stored(
        self, each_pebble: Pebble, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The client registers another account with a new key, and stores the old key as a backup.
        """
        client = client_of(each_pebble.directory_url, tmp_path, ca_bundle=each_pebble.ca_bundle)
        client.order(("first.example.test",))
        old = client.thumbprint
        deactivate(client)

        with caplog.at_level(logging.WARNING, "certworker.acme"):
            client.order(("second.example.test",))

        assert old != client.thumbprint
        assert (files(tmp_path) / "key.pem.bak").is_file()
        assert "is deactivated" in caplog.messages[-1]

    def test_a_deactivated_account_is_replaced_at_the_development_ca(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The development CA also refuses a deactivated account.
        """
        client = client_of(authority.directory_url, tmp_path)
        client.order(NAMES)
        old = client.thumbprint
        deactivate(client)

        client.order(NAMES)

        assert old != client.thumbprint


class TestRevoked:
    def test_a_revoked_account_is_not_replaced(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The failure is AccountBlocked, and the key stays. The CA has ended the account (RFC 8555,
        section 7.1.2).
        """
        client_of(authority.directory_url, tmp_path).order(NAMES)
        (files(tmp_path) / "account.json").unlink()
        revoked = only("newAccount", lambda reply: with_members(reply, status="revoked"))
        key = (files(tmp_path) / "key.pem").read_bytes()

        with tampered(authority, revoked), pytest.raises(AccountBlocked, match="is revoked"):
            client_of(authority.directory_url, tmp_path).order(NAMES)

        assert key == (files(tmp_path) / "key.pem").read_bytes()


class TestDamagedKey:
    @pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nMIGH", b"\x00\xff"])
    def test_a_damaged_key_is_reported_and_not_overwritten(
        self, authority: FaultyAuthority, tmp_path: Path, content: bytes
    ) -> None:
        """
        The client does not replace a damaged key, because a backup may restore it.
        """
        client = client_of(authority.directory_url, tmp_path)
        client.order(NAMES)
        path = files(tmp_path) / "key.pem"
        path.write_bytes(content)

        with pytest.raises(AccountKeyUnreadable) as caught:
            client.order(NAMES)

        assert content == path.read_bytes()
        assert caught.value.remedy.endswith(f"mv {path} {path}.damaged")


#: The program of a worker on the shared volume. It waits for a line, so all workers start at the same time.
WORKER = """
import sys
from pathlib import Path
from tests.acme.clients import client_of

client = client_of(sys.argv[1], Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
client.order(("demo.localhost",))
print(client.thumbprint)
"""


class TestTogether:
    def test_workers_that_start_at_once_register_one_account(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        Three workers with an empty volume register one account. Let's Encrypt allows ten accounts in
        three hours.
        """
        command = [sys.executable, "-c", WORKER, authority.directory_url, str(tmp_path)]
        workers = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            for _ in range(3)
        ]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        found = [worker.communicate("go\n", timeout=30)[0].strip() for worker in workers]

        assert 1 == len(set(found))
        assert 43 == len(found[0])
        assert 2 == request_types(authority).count("newAccount")

    def test_threads_of_one_worker_register_one_account(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        Eight slots with their first job register one account.
        """
        client = client_of(authority.directory_url, tmp_path)

        with ThreadPoolExecutor(8) as slots:
            list(slots.map(lambda _: client.order(NAMES), range(8)))

        assert 2 == request_types(authority).count("newAccount")

    def test_threads_share_the_timeout_of_a_silent_ca(
        self, authority: FaultyAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        All threads share one timeout instead of one timeout each.
        """
        client = client_of(authority.directory_url, tmp_path)
        client.check()
        authority.faults.slow_seconds = {"newAccount": 5}
        monkeypatch.setattr(transport, "REQUEST_SECONDS", 1)

        with ThreadPoolExecutor(8) as slots:
            orders = [slots.submit(client.order, NAMES) for _ in range(8)]

        assert {CaUnreachable} == {type(each.exception()) for each in orders}
        # A busy machine may start a thread after the other threads have failed.
        assert request_types(authority).count("newAccount") <= 2


def relative_location(_: Request, reply: Reply) -> Reply:
    """
    Return *reply* with only the path of its Location.
    """
    location = reply.headers.get("Location")
    return with_headers(reply, Location=urlsplit(location).path) if location else reply


def deactivate(client: AcmeClient) -> None:
    """
    Deactivate the account of *client* at its CA (RFC 8555, section 7.3.6).
    """
    account = client._registration.ensure()
    assert account.url is not None
    client._session.post(account.url, {"status": "deactivated"}, account.signer)


KEY_ID = "kid-1"
#: Pebble requires at least 32 bytes.
HMAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
OTHER_KEY = "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH"


@pytest.fixture
def strict_pebble(tmp_path: Path) -> Iterator[Pebble]:
    """
    Run a Pebble that requires external account binding.
    """
    server = Pebble(tmp_path / "pebble", programs()[0])
    server.start(external_accounts={KEY_ID: HMAC_KEY})
    yield server
    server.close()


class TestBinding:
    def test_the_development_ca_accepts_a_binding(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        The development CA verifies algorithm, key ID, URL, signature and account key (RFC 8555,
        section 7.3.4).
        """
        authority.policy.external_accounts[KEY_ID] = b"secret"
        client = client_of(
            authority.directory_url, tmp_path, external_account=ExternalAccountBinding(KEY_ID, "c2VjcmV0")
        )

        assert ("demo.localhost",) == issued(client, challenge_server, "demo.localhost").names

    def test_pebble_accepts_a_binding(self, strict_pebble: Pebble, tmp_path: Path) -> None:
        """
        Pebble accepts the binding.
        """
        client = client_of(
            strict_pebble.directory_url,
            tmp_path,
            ca_bundle=strict_pebble.ca_bundle,
            external_account=ExternalAccountBinding(KEY_ID, HMAC_KEY),
        )

        assert client.order(("demo.example.com",)).responses

    def test_without_a_binding_the_variables_are_named(self, strict_pebble: Pebble, tmp_path: Path) -> None:
        """
        The remedy names both variables.
        """
        client = client_of(strict_pebble.directory_url, tmp_path, ca_bundle=strict_pebble.ca_bundle)

        with pytest.raises(ExternalAccountRequired, match="CERTWORKER_EAB_KID and CERTWORKER_EAB_HMAC_KEY"):
            client.order(("demo.example.com",))

    @pytest.mark.parametrize(
        "wrong",
        [ExternalAccountBinding("kid-2", HMAC_KEY), ExternalAccountBinding(KEY_ID, OTHER_KEY)],
        ids=["id", "key"],
    )
    def test_a_wrong_binding_is_reported_with_the_text_of_the_ca(
        self, strict_pebble: Pebble, tmp_path: Path, wrong: ExternalAccountBinding
    ) -> None:
        """
        A wrong key ID or key has the same failure as a missing binding, with the text of the CA.
        """
        client = client_of(
            strict_pebble.directory_url, tmp_path, ca_bundle=strict_pebble.ca_bundle, external_account=wrong
        )

        with pytest.raises(ExternalAccountRequired) as failure:
            client.order(("demo.example.com",))
        assert failure.value.problem

    def test_a_wrong_binding_is_refused_by_the_development_ca(
        self, authority: FaultyAuthority, tmp_path: Path
    ) -> None:
        """
        The development CA causes the same failure, so an operator can reproduce it locally.
        """
        authority.policy.external_accounts[KEY_ID] = b"secret"
        client = client_of(
            authority.directory_url, tmp_path, external_account=ExternalAccountBinding(KEY_ID, HMAC_KEY)
        )

        with pytest.raises(ExternalAccountRequired):
            client.order(("demo.localhost",))

    def test_the_repr_contains_no_key(self) -> None:
        """
        The repr of a binding, which an error message may contain, does not include the key.
        """
        assert HMAC_KEY not in repr(ExternalAccountBinding(KEY_ID, HMAC_KEY))
