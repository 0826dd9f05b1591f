"""
Tests of the provider acme-dns and its account file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from certworker.dns01.acme_dns import AcmeDns
from certworker.dns01.provider import TxtRecord
from certworker.errors import CertworkerError, Retry
from tests.dns01.services import AcmeDnsServer, Service, always, service

VALUE = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0"
OTHER_VALUE = "9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"
SECRET = "password-1"


@pytest.fixture
def acme_dns() -> AcmeDnsServer:
    """
    Return the accounts of an acme-dns server.
    """
    return AcmeDnsServer()


@pytest.fixture
def server(acme_dns: AcmeDnsServer) -> Iterator[Service]:
    """
    Run the API of the acme-dns server.
    """
    with service(acme_dns.respond) as started:
        yield started


@pytest.fixture
def provider(server: Service, tmp_path: Path) -> AcmeDns:
    """
    Return the provider, whose account file does not exist at first.
    """
    return AcmeDns(server.url, tmp_path / "accounts.json")


def record(fqdn: str, value: str = VALUE) -> TxtRecord:
    """
    Return a record in the zone of the acme-dns server.
    """
    return TxtRecord(fqdn, value, "auth.example.net")


class TestRegistration:
    def test_a_registration_returns_the_target_of_the_cname(
        self, provider: AcmeDns, acme_dns: AcmeDnsServer
    ) -> None:
        """
        A registration returns the target of the CNAME, and writes an account file of lego with mode
        0600.
        """
        target = provider.register("example.com")

        assert list(acme_dns.accounts) == [target.removesuffix(".auth.example.net")]
        assert json.loads(provider.accounts.read_text()) == {
            "example.com": {
                "fulldomain": target,
                "subdomain": target.partition(".")[0],
                "username": "user-1",
                "password": SECRET,
            }
        }
        assert provider.accounts.stat().st_mode & 0o777 == 0o600

    def test_an_account_is_reused(self, provider: AcmeDns, acme_dns: AcmeDnsServer) -> None:
        """
        A second registration returns the same target, so the operator's CNAME remains valid.
        """
        assert provider.register("example.com") == provider.register("example.com")
        assert len(acme_dns.accounts) == 1

    def test_other_accounts_remain(self, provider: AcmeDns) -> None:
        """
        A registration does not change other accounts and unknown members of the file.
        """
        others = {"example.org": {"fulldomain": "other", "server_url": "https://x"}, "y": 1}
        provider.accounts.write_text(json.dumps(others))

        provider.register("example.com")

        stored = json.loads(provider.accounts.read_text())
        assert stored.pop("example.com")
        assert stored == others

    @pytest.mark.parametrize(
        "content",
        [
            b"<html>",
            b"[]",
            b'{"fulldomain": 1}',
            b'{"fulldomain": "a.b", "subdomain": "a", "username": "u"}',
            b'{"fulldomain": "a b", "subdomain": "a", "username": "u", "password": "p"}',
            b'{"fulldomain": "a.b", "subdomain": "a", "username": "u\\r\\nX: 1", "password": "p"}',
        ],
    )
    def test_an_answer_without_an_account_is_a_failure(self, content: bytes, tmp_path: Path) -> None:
        """
        A registration without a valid account in the answer fails and writes no file.
        """
        with (
            service(always(201, content)) as broken,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*does not contain a valid account"),
        ):
            AcmeDns(broken.url, tmp_path / "accounts.json").register("example.com")

        assert not (tmp_path / "accounts.json").exists()

    def test_an_invalid_account_file_is_not_overwritten(
        self, provider: AcmeDns, acme_dns: AcmeDnsServer
    ) -> None:
        """
        A registration fails if the account file is invalid, and does not overwrite it.
        """
        provider.accounts.write_text("{broken")

        with pytest.raises(CertworkerError, match=r"dns01\.credentials.*not JSON"):
            provider.register("example.com")

        assert provider.accounts.read_text() == "{broken"
        assert acme_dns.accounts == {}


class TestChanges:
    def test_an_account_has_two_values(self, provider: AcmeDns, acme_dns: AcmeDnsServer) -> None:
        """
        An account has two values at the same time, as a name and its wildcard share the CNAME.
        """
        provider.register("example.com")
        target = provider.register("example.org")

        provider.present(record(target))
        provider.present(record(target, OTHER_VALUE))

        assert acme_dns.values == {target: [VALUE, OTHER_VALUE]}

    def test_a_value_cannot_be_deleted(self, provider: AcmeDns, acme_dns: AcmeDnsServer) -> None:
        """
        Withdrawing a record deletes no value. The next values replace it.
        """
        target = provider.register("example.com")
        provider.present(record(target))

        provider.withdraw(record(target))

        assert acme_dns.values == {target: [VALUE]}

    def test_the_names_of_the_account_file_are_case_insensitive(
        self, provider: AcmeDns, acme_dns: AcmeDnsServer
    ) -> None:
        """
        The provider finds an account regardless of the case of its target.
        """
        target = provider.register("example.com")
        provider.accounts.write_text(provider.accounts.read_text().replace(target, f"{target.upper()}."))

        provider.present(record(target))

        assert acme_dns.values == {target: [VALUE]}


class TestFailures:
    def test_a_name_without_an_account_has_its_remedy(self, provider: AcmeDns) -> None:
        """
        The failure for a name without an account has the command that registers it.
        """
        provider.register("example.com")

        with pytest.raises(CertworkerError, match=r"dns01\.no_zone.*certworker dns register"):
            provider.present(record("_acme-challenge.example.org"))

    def test_a_wrong_password_is_not_shown(self, provider: AcmeDns) -> None:
        """
        The failure for a wrong password has the command that registers the name again, and does not show
        the password. The account file may change at any time, so the preflight check is repeated soon.
        """
        target = provider.register("example.com")
        provider.accounts.write_text(provider.accounts.read_text().replace(SECRET, "wrong-password"))

        with pytest.raises(CertworkerError, match=rf"dns01\.credentials.*{provider.accounts}") as caught:
            provider.present(record(target))

        remedy = r"Remove the account of example\.com .* CNAME .*: certworker dns register example\.com$"
        assert re.search(remedy, caught.value.remedy)
        assert ".env" not in caught.value.remedy
        assert Retry.PREFLIGHT is caught.value.retry
        assert "wrong-password" not in str(caught.value)

    @pytest.mark.parametrize(
        ("status", "shown"),
        [
            (403, r"dns01\.credentials.*certworker dns register example\.com"),
            (404, r"dns01\.provider_failed.*HTTP 404"),
            (500, r"dns01\.provider_failed.*HTTP 500"),
        ],
    )
    def test_each_refusal_has_a_remedy_for_acme_dns(self, provider: AcmeDns, status: int, shown: str) -> None:
        """
        An account has neither rights nor a zone, so no remedy grants rights or creates a zone.
        """
        target = provider.register("example.com")

        with service(always(status, b"{}")) as other, pytest.raises(CertworkerError, match=shown):
            AcmeDns(other.url, provider.accounts).present(record(target))

    @pytest.mark.parametrize("status", [401, 403, 404, 500])
    def test_a_refused_registration_is_a_failure(self, status: int, tmp_path: Path) -> None:
        """
        A server may have no registration. The failure names the setting of the server.
        """
        shown = rf"does not register an account for example\.com: HTTP {status}.*disable_registration"
        with service(always(status, b"{}")) as closed, pytest.raises(CertworkerError, match=shown):
            AcmeDns(closed.url, tmp_path / "accounts.json").register("example.com")

    def test_an_answer_without_a_confirmation_is_a_failure(self, provider: AcmeDns) -> None:
        """
        An answer without the value is a failure, because any web server answers with 200.
        """
        target = provider.register("example.com")
        with (
            service(always(200, b"<html>welcome</html>")) as other,
            pytest.raises(CertworkerError, match=r"dns01\.provider_failed.*does not confirm"),
        ):
            AcmeDns(other.url, provider.accounts).present(record(target))

    @pytest.mark.parametrize(
        ("content", "shown"),
        [(None, "No such file"), ("", "not JSON"), ("[]", "not a JSON object"), ("[" * 60_000, "not JSON")],
    )
    def test_an_unreadable_account_file_is_a_failure(
        self, provider: AcmeDns, content: str | None, shown: str
    ) -> None:
        """
        An unreadable account file is a failure with its reason.
        """
        if content is not None:
            provider.accounts.write_text(content)

        with pytest.raises(CertworkerError, match=rf"dns01\.credentials.*{shown}"):
            provider.present(record("a.auth.example.net"))

    @pytest.mark.parametrize(
        "member",
        [None, 1, [], {}, {"fulldomain": "a.auth.example.net"}, {"fulldomain": ["a"], "password": {}}],
    )
    def test_an_invalid_account_does_not_affect_the_others(
        self, provider: AcmeDns, acme_dns: AcmeDnsServer, member: Any
    ) -> None:
        """
        The provider uses the valid accounts of a file that has an invalid one.
        """
        target = provider.register("example.com")
        stored = json.loads(provider.accounts.read_text())
        provider.accounts.write_text(json.dumps({"bad.example.com": member, **stored}))

        provider.present(record(target))

        assert acme_dns.values == {target: [VALUE]}
