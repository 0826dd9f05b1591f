"""
The checks of a name: DNS, port 80, its certificate and its limits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from certworker.app import App
from certworker.devca.proxy import DevelopmentProxy
from certworker.doctor.domain import (
    DomainReport,
    certificate_findings,
    limit_findings,
    place_staging_order,
    served_findings,
)
from certworker.doctor.findings import Finding, Verdict
from certworker.ratelimits.budget import Budget
from certworker.redis.client import connect
from certworker.redis.url import RedisURL
from certworker.settings import CaChoice, Settings, load
from certworker.traefik.tls_probe import leaf_of
from tests.app_fixture import open_app
from tests.doctor.conftest import NAME
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.storage.authority import Signer


def results(app: App, settings: Settings, impossible: Mapping[str, str] | None = None) -> dict[str, Finding]:
    """
    Return the findings of the checks for the name, by subject.
    """
    issuer = app.issuers[0]
    report = DomainReport(settings, [issuer.client], issuer.solvers, app.dns01.plan, impossible or {})
    findings = report.findings(NAME)
    return {finding.subject: finding for finding in findings}


class TestDomainReport:
    def test_a_reachable_name_passes(self, app: App, settings: Settings) -> None:
        """
        The worker answers the check of port 80.
        """
        found = results(app, settings)

        assert {Verdict.WELL} == {finding.verdict for finding in found.values()}
        assert re.fullmatch(r"port \d+ answers in \d+ ms", found["port 80"].text)

    def test_a_closed_port_80_is_a_failure(self, app: App, environ: dict[str, str]) -> None:
        """
        The finding has the code of the failure.
        """
        found = results(app, load(environ | {"CERTWORKER_HTTP01_PORT": str(free_port())}))

        assert (Verdict.FAIL, "http.refused") == (found["port 80"].verdict, found["port 80"].code)

    def test_an_impossible_check_is_skipped_with_the_reason(self, app: App, settings: Settings) -> None:
        """
        And no key is made for it.
        """
        found = results(app, settings, {"port 80": "no account key yet"})

        assert (Verdict.SKIPPED, "no account key yet") == (found["port 80"].verdict, found["port 80"].text)
        assert not (settings.state_dir / "accounts").exists()

    def test_a_volume_that_cannot_be_written_is_not_reported_twice(
        self, app: App, settings: Settings
    ) -> None:
        """
        It has its own line, so that it is not repeated for each name.
        """
        assert app.issuers[0].client.thumbprint, "the account has its key now"
        (settings.certificates_dir / ".well-known").write_text("in the way")
        found = results(app, settings)

        assert Verdict.SKIPPED is found["port 80"].verdict

    def test_a_redis_without_writes_skips_the_check_of_port_80(
        self,
        tmp_path: Path,
        own_redis: RedisServer,
        app_authority: FaultyAuthority,
        http_port: int,
        settings: Settings,
    ) -> None:
        """
        Redis has a line of its own, and the report continues.
        """
        with (
            connect(RedisURL.parse(own_redis.url)) as connection,
            open_app(tmp_path, connection, app_authority.directory_url, http_port) as app,
        ):
            own_redis.client().replicaof("127.0.0.1", "1")
            found = results(app, settings)

        assert (Verdict.SKIPPED, "not possible: redis.readonly") == (
            found["port 80"].verdict,
            found["port 80"].text,
        )


class TestCertificate:
    def found(self, app: App, settings: Settings, days: float = 0) -> dict[str, Finding]:
        """
        The lines about the certificate after so many days, by subject.
        """
        moment = app.clock() + timedelta(days=days)
        findings = certificate_findings(settings, NAME, app.records.read(NAME), moment)
        return {finding.subject: finding for finding in findings}

    def test_none_yet_is_no_mistake(self, app: App, settings: Settings) -> None:
        """
        The checks above it have the cause.
        """
        assert Verdict.SKIPPED is self.found(app, settings)["certificate"].verdict

    def test_a_covered_name_has_the_certificate_of_its_wildcard(self, app: App, settings: Settings) -> None:
        """
        The finding says by what it is covered.
        """
        wildcard = app.certificates.store(
            Signer().certificate("*.localhost"), authority="a", kind="private", token=1
        )
        app.certificates.covered.add([NAME])
        app.traefik.publish(wildcard)

        finding = self.found(app, settings)["certificate"]

        assert Verdict.WELL is finding.verdict
        assert finding.text.startswith("covered by *.localhost, valid until")

    @pytest.mark.parametrize(("days", "verdict"), [(0, Verdict.WELL), (80, Verdict.WARN), (91, Verdict.FAIL)])
    def test_it_gets_older(self, issued: App, settings: Settings, days: float, verdict: Verdict) -> None:
        """
        A renewal that is due has not happened.
        """
        assert verdict is self.found(issued, settings, days)["certificate"].verdict

    def test_a_failure_since_is_reported_with_its_remedy(self, issued: App, settings: Settings) -> None:
        """
        Otherwise it would stay unnoticed until it expires.
        """
        issued.connection.hset(
            f"certworker:name:{NAME}",
            mapping={"state": "failed", "code": "http.404", "message": "No.", "remedy": "Yes."},
        )
        finding = self.found(issued, settings)["certificate"]

        assert (Verdict.WARN, "http.404", "Yes.") == (finding.verdict, finding.code, finding.remedy)

    def test_a_pair_that_is_broken_is_reported(self, issued: App, settings: Settings) -> None:
        """
        Traefik shows nothing for it.
        """
        (key,) = settings.certificates_dir.glob(".certworker/generations/*/privkey.pem")
        key.write_bytes(Signer().certificate(NAME).key.pem)

        assert "fs.partial" == self.found(issued, settings)["certificate"].code


class TestServed:
    def found(self, app: App, environ: dict[str, str], address: str) -> Finding:
        """
        The line about what the proxy at *address* shows.
        """
        settings = load(environ | {"CERTWORKER_PROXY_ADDRESS": address})
        *_, served = certificate_findings(settings, NAME, None, app.clock())
        return served

    def test_the_certificate_is_shown_or_it_is_not(self, issued: App, environ: dict[str, str]) -> None:
        """
        A certificate on the volume is not enough.
        """
        files: dict[str, tuple[Path, Path]] = {}
        server = DevelopmentProxy(files.get)
        server.start()
        address = f"127.0.0.1:{server.port}"

        assert "proxy.default_cert" == self.found(issued, environ, address).code
        pair = issued.traefik.files(NAME)
        assert pair
        files[NAME] = pair
        assert Verdict.WELL is self.found(issued, environ, address).verdict
        server.stop()

    def test_visitors_see_it_or_something_else(
        self,
        issued: App,
        settings: Settings,
        app_authority: FaultyAuthority,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        An address without an answer has no finding: the port may be closed from here only.
        """
        pair = issued.traefik.files(NAME)
        assert pair
        server = DevelopmentProxy({NAME: pair}.get)
        server.start()
        leaf = leaf_of(pair[0].read_bytes())
        home = [ip_address("127.0.0.1")]

        (seen,) = served_findings(settings, NAME, leaf, home, server.port)
        assert Verdict.WELL is seen.verdict
        (other,) = served_findings(settings, NAME, b"another one", home, server.port)
        assert "proxy.old_cert" == other.code
        # A certificate that a browser trusts passes, from any server.
        monkeypatch.setenv("SSL_CERT_FILE", str(app_authority.root_path))
        (trusted,) = served_findings(settings, NAME, b"another one", home, server.port)
        assert (Verdict.WARN, "proxy.other_terminator") == (trusted.verdict, trusted.code)
        assert "certworker development" in trusted.text
        assert [] == list(served_findings(settings, NAME, leaf, home, free_port()))
        server.stop()

    @pytest.mark.parametrize("address", ["off", "nowhere.invalid:443"])
    def test_without_a_proxy_it_is_skipped(self, issued: App, environ: dict[str, str], address: str) -> None:
        """
        Others may read the volume.
        """
        assert Verdict.SKIPPED is self.found(issued, environ, address).verdict


class TestLimits:
    def found(self, app: App, settings: Settings) -> Finding:
        """
        The line about the limits of Let's Encrypt.
        """
        choice = CaChoice.named("letsencrypt")
        budget = Budget.for_issuer(settings, choice, app.connection, app.certificates)
        return limit_findings(NAME, budget, app.records.read(NAME))

    def test_what_was_used_is_reported(self, app: App, settings: Settings) -> None:
        """
        Restarting gives nothing back.
        """
        finding = self.found(app, settings)

        assert Verdict.WELL is finding.verdict
        assert "0 of 5 certificates this week" in finding.text

    def test_a_name_that_has_to_wait_is_reported(self, app: App, settings: Settings) -> None:
        """
        It shows the end of the pause.
        """
        app.issuance.issue((NAME,))
        app.connection.hset(
            f"certworker:name:{NAME}",
            mapping={"state": "waiting", "code": "rate.duplicate", "message": "Wait.", "remedy": "Or not."},
        )
        finding = self.found(app, settings)

        assert (Verdict.FAIL, "rate.duplicate") == (finding.verdict, finding.code)
        assert finding.text.startswith("Blocked until 20")

    def test_a_ca_without_known_limits_has_none(self, app: App, settings: Settings) -> None:
        """
        One's own, mostly.
        """
        budget = app.issuers[0].budget

        assert Verdict.WELL is limit_findings(NAME, budget, None).verdict
        assert replace(limit_findings(NAME, budget, None)).text == "this CA has no known limits"


class TestPlaceStagingOrder:
    def test_a_certificate_is_issued_and_not_installed(self, app: App) -> None:
        """
        It would replace one that browsers trust.
        """
        issuer = app.issuers[0]
        finding = place_staging_order(
            NAME, issuer.client, lambda _authority: issuer.solvers, app.dns01.presenting
        )

        assert Verdict.WELL is finding.verdict
        assert "not installed" in finding.text
        assert app.certificates.current(NAME) is None

    def test_a_refusal_is_a_failure(self, app: App) -> None:
        """
        It has the code of the log. Here no solver publishes an answer.
        """
        finding = place_staging_order(
            NAME, app.issuers[0].client, lambda _authority: [], app.dns01.presenting
        )

        assert (Verdict.FAIL, "http.404") == (finding.verdict, finding.code)

    def test_without_a_staging_ca_it_is_skipped(self, app: App) -> None:
        """
        Few CAs have one.
        """
        finding = place_staging_order(NAME, None, lambda _authority: [], app.dns01.presenting)

        assert Verdict.SKIPPED is finding.verdict
