"""
Tests of the checks of a name: DNS, port 80, its certificate and its limits.
"""

from __future__ import annotations

import json
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
from certworker.state.domain_records import DEFERRED_MESSAGE
from certworker.storage.metadata import IMPORTED
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
        A reachable name passes each check.
        """
        found = results(app, settings)

        assert {Verdict.WELL} == {finding.verdict for finding in found.values()}
        assert re.fullmatch(r"port \d+ answers in \d+ ms", found["port 80"].text)

    def test_a_closed_port_80_is_a_failure(self, app: App, environ: dict[str, str]) -> None:
        """
        A closed port 80 is a failure with its code.
        """
        found = results(app, load(environ | {"CERTWORKER_HTTP01_PORT": str(free_port())}))

        assert (Verdict.FAIL, "http.refused") == (found["port 80"].verdict, found["port 80"].code)

    def test_an_impossible_check_is_skipped_with_the_reason(self, app: App, settings: Settings) -> None:
        """
        An impossible check is skipped with its reason, and creates no account key.
        """
        found = results(app, settings, {"port 80": "no account key yet"})

        assert (Verdict.SKIPPED, "no account key yet") == (found["port 80"].verdict, found["port 80"].text)
        assert not (settings.state_dir / "accounts").exists()

    def test_an_unwritable_volume_is_not_reported_twice(self, app: App, settings: Settings) -> None:
        """
        The check of port 80 is skipped, because the volume has a finding of its own.
        """
        assert app.issuers[0].client.thumbprint, "the account has its key now"
        (settings.certificates_dir / ".well-known").write_text("in the way")
        found = results(app, settings)

        assert Verdict.SKIPPED is found["port 80"].verdict

    def test_a_read_only_redis_skips_the_check_of_port_80(
        self,
        tmp_path: Path,
        own_redis: RedisServer,
        app_authority: FaultyAuthority,
        http_port: int,
        settings: Settings,
    ) -> None:
        """
        With a read-only Redis, the check is skipped with the code, and the report continues.
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
        Return the findings about the certificate after *days*, by subject.
        """
        moment = app.clock() + timedelta(days=days)
        findings = certificate_findings(settings, NAME, app.records.read(NAME), moment)
        return {finding.subject: finding for finding in findings}

    def test_a_missing_certificate_is_skipped(self, app: App, settings: Settings) -> None:
        """
        A name without a certificate has a skipped finding. Other findings have the cause.
        """
        assert Verdict.SKIPPED is self.found(app, settings)["certificate"].verdict

    def test_a_covered_name_has_the_certificate_of_its_wildcard(self, app: App, settings: Settings) -> None:
        """
        The finding of a covered name contains its wildcard and the expiry of the certificate.
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
    def test_the_verdict_depends_on_the_age(
        self, issued: App, settings: Settings, days: float, verdict: Verdict
    ) -> None:
        """
        A certificate whose renewal is late is a warning, and an expired one is a failure.
        """
        assert verdict is self.found(issued, settings, days)["certificate"].verdict

    @pytest.mark.parametrize(
        ("days", "verdict", "code"),
        [(0, Verdict.WELL, ""), (80, Verdict.WARN, "import.ends"), (91, Verdict.FAIL, "import.ends")],
    )
    def test_an_imported_certificate_has_no_renewal(
        self, app: App, settings: Settings, days: float, verdict: Verdict, code: str
    ) -> None:
        """
        The finding of an imported certificate reminds the operator of its expiry.
        """
        own = Signer().certificate(NAME)
        app.certificates.store(own, authority=IMPORTED, kind=IMPORTED, token=1)
        finding = self.found(app, settings, days)["certificate"]

        assert (verdict, code) == (finding.verdict, finding.code)
        assert "imported" in finding.text
        assert not code or f"certworker import {NAME}" in finding.remedy

    def test_a_damaged_imported_certificate_is_not_replaced(self, app: App, settings: Settings) -> None:
        """
        The finding of an imported certificate without its key has the command that imports it again.
        """
        own = Signer().certificate(NAME)
        stored = app.certificates.store(own, authority=IMPORTED, kind=IMPORTED, token=1)
        (stored.directory / "privkey.pem").unlink()
        finding = self.found(app, settings)["certificate"]

        assert (Verdict.FAIL, "import.damaged") == (finding.verdict, finding.code)

    def test_a_later_failure_is_reported_with_its_remedy(self, issued: App, settings: Settings) -> None:
        """
        A failed renewal of a valid certificate is a warning with its code and its remedy.
        """
        issued.connection.hset(
            f"certworker:name:{NAME}",
            mapping={"state": "failed", "code": "http.404", "message": "No.", "remedy": "Yes."},
        )
        finding = self.found(issued, settings)["certificate"]

        assert (Verdict.WARN, "http.404", "Yes.") == (finding.verdict, finding.code, finding.remedy)

    def test_a_mismatched_pair_is_reported(self, issued: App, settings: Settings) -> None:
        """
        The doctor reports a key that does not match its certificate, with the code of the failure.
        """
        (key,) = settings.certificates_dir.glob(".certworker/generations/*/privkey.pem")
        key.write_bytes(Signer().certificate(NAME).key.pem)

        assert "fs.partial" == self.found(issued, settings)["certificate"].code


class TestServed:
    def found(self, app: App, environ: dict[str, str], address: str) -> Finding:
        """
        Return the finding about the certificate that the proxy at *address* serves.
        """
        settings = load(environ | {"CERTWORKER_PROXY_ADDRESS": address})
        *_, served = certificate_findings(settings, NAME, None, app.clock())
        return served

    def test_the_served_certificate_is_compared(self, issued: App, environ: dict[str, str]) -> None:
        """
        The finding compares the served certificate with the one on the volume.
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

    def test_the_certificate_at_the_addresses_of_the_name_is_compared(
        self,
        issued: App,
        settings: Settings,
        app_authority: FaultyAuthority,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """
        The findings compare the certificate at each address. An address that does not respond has none.
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
        Without a reachable proxy, the finding is skipped, because other programs can serve the files.
        """
        assert Verdict.SKIPPED is self.found(issued, environ, address).verdict


class TestLimits:
    def found(self, app: App, settings: Settings) -> Finding:
        """
        Return the finding about the limits of Let's Encrypt.
        """
        choice = CaChoice.named("letsencrypt")
        budget = Budget.for_issuer(settings, choice, app.connection, app.certificates)
        return limit_findings(NAME, budget, app.records.read(NAME))

    def test_the_used_part_of_the_limits_is_reported(self, app: App, settings: Settings) -> None:
        """
        The finding has the number of certificates that count against the limit.
        """
        finding = self.found(app, settings)

        assert Verdict.WELL is finding.verdict
        assert "0 of 5 certificates within 7 days, 0 of 5 failures within 1 h" == finding.text

    def test_a_granted_limit_is_reported_with_its_period(
        self, app: App, environ: dict[str, str], tmp_path: Path
    ) -> None:
        """
        The finding has the periods of the limits that the CA has granted.
        """
        granted = {"certificates_per_set": "20/1d", "failures_per_name": "10/30m"}
        (tmp_path / "limits.json").write_text(json.dumps({"letsencrypt": granted}))
        environ["CERTWORKER_LIMITS_FILE"] = str(tmp_path / "limits.json")

        text = self.found(app, load(environ)).text
        assert "0 of 20 certificates within 1 day, 0 of 10 failures within 30 min" == text

    @pytest.mark.parametrize(
        ("code", "word"),
        [("rate.duplicate", "Blocked"), ("acct.too_many", "Blocked"), ("worker.crashed", "Waiting")],
    )
    def test_a_name_that_waits_is_reported(self, app: App, settings: Settings, code: str, word: str) -> None:
        """
        A name that waits is a failure with the end of the wait. Only a limit of the CA blocks it.
        """
        app.issuance.issue((NAME,))
        app.connection.hset(
            f"certworker:name:{NAME}",
            mapping={"state": "waiting", "code": code, "message": "Wait.", "remedy": "Or not."},
        )
        finding = self.found(app, settings)

        assert (Verdict.FAIL, code) == (finding.verdict, finding.code)
        assert finding.text.startswith(f"{word} until 20")

    def test_a_name_that_waits_for_a_slot_is_not_blocked(self, app: App, settings: Settings) -> None:
        """
        For a name that waits for a slot, the finding has the limits, which do not delay it.
        """
        app.issuance.issue((NAME,))
        expected = self.found(app, settings)
        app.connection.hset(
            f"certworker:name:{NAME}", mapping={"state": "waiting", "code": "", "message": DEFERRED_MESSAGE}
        )

        assert expected == self.found(app, settings)

    def test_a_ca_without_known_limits_passes(self, app: App, settings: Settings) -> None:
        """
        A CA without known limits, such as a private one, passes the check.
        """
        budget = app.issuers[0].budget

        assert Verdict.WELL is limit_findings(NAME, budget, None).verdict
        assert replace(limit_findings(NAME, budget, None)).text == "this CA has no known limits per name"


class TestPlaceStagingOrder:
    def test_a_certificate_is_issued_and_not_installed(self, app: App) -> None:
        """
        The staging order issues a certificate, and does not install it.
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
        A failed staging order is a failure with its code. Without a solver, no response is published.
        """
        finding = place_staging_order(
            NAME, app.issuers[0].client, lambda _authority: [], app.dns01.presenting
        )

        assert (Verdict.FAIL, "http.404") == (finding.verdict, finding.code)

    def test_without_a_staging_ca_it_is_skipped(self, app: App) -> None:
        """
        Without a staging CA, the order is skipped.
        """
        finding = place_staging_order(NAME, None, lambda _authority: [], app.dns01.presenting)

        assert Verdict.SKIPPED is finding.verdict
