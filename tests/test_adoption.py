"""
The adoption of certificates that Appwrite and certbot left on the volume, and the removal of deleted ones.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from certworker.app import App
from certworker.renewal.domain_status import list_status, status_of
from certworker.storage.metadata import PEM_FILES
from tests.servers.faulty_authority import FaultyAuthority
from tests.storage.authority import Signer
from tests.storage.oddities import pair
from tests.storage.reader import followed

NAME = "shop.localhost"

#: Traefik's file in the format of Appwrite's worker.
YAML = """tls:
  certificates:
  -
    certFile: {0}/fullchain.pem
    keyFile: {0}/privkey.pem
"""


def left_by_appwrite(app: App, *names: str, directory: str = NAME) -> Path:
    """
    Write the four PEM files and Traefik's file as Appwrite's worker does.
    """
    certificate = Signer("R11").certificate(*names or (NAME,))
    place = app.certificates.directory / directory
    place.mkdir(mode=0o755)
    contents = (
        certificate.cert_pem,
        certificate.chain_pem,
        certificate.fullchain_pem,
        certificate.key.pem,
    )
    for file, content in zip(PEM_FILES, contents, strict=True):
        (place / file).write_bytes(content)
    (app.traefik.directory / f"{directory}.yml").write_text(YAML.format(place))
    return place


def orders(authority: FaultyAuthority) -> int:
    """
    Return the number of orders that the CA received.
    """
    return sum(asked.kind == "newOrder" for asked in authority.requests)


class TestAdoption:
    def test_valid_certificate_stays_in_service_and_is_on_the_agenda(
        self, app: App, app_authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The worker adopts a valid certificate and places no order for it.
        """
        place = left_by_appwrite(app)
        before = {file: (place / file).read_bytes() for file in PEM_FILES}

        with caplog.at_level(logging.INFO, "certworker"):
            assert 1 == app.reconciler.reconcile()

        assert before == {file: (place / file).read_bytes() for file in PEM_FILES}
        # Traefik's file names the generation, which never changes, instead of the four files, which change.
        served = followed(app.traefik.directory, NAME)
        assert served
        assert before["fullchain.pem"] == served.fullchain_pem
        moment = app.agenda.next_check(NAME)
        assert moment is not None
        assert moment > app.clock()
        assert "adopted: issued by R11, valid until 20" in caplog.text
        assert "adopted names from other programs: 1" in caplog.text
        assert "kept" == app.issuance.issue((NAME,)).state
        assert 0 == orders(app_authority)

    def test_each_adoption_is_logged_once(
        self, app: App, app_authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A job that runs before the reconciler adopts the certificate of its name, and logs this.
        """
        left_by_appwrite(app)

        with caplog.at_level(logging.INFO, "certworker"):
            assert "kept" == app.issuance.issue((NAME,)).state
            app.reconciler.reconcile()

        assert 1 == caplog.text.count("adopted: issued by R11, valid until 20")
        assert 0 == orders(app_authority)

    def test_status_shows_its_issuer(self, app: App) -> None:
        """
        The status of an adopted certificate shows its issuer and that it is adopted.
        """
        left_by_appwrite(app)
        app.reconciler.reconcile()

        found = status_of(NAME, app.agenda, app.records, app.certificates, app.clock())

        assert ("valid", "R11", "adopted") == (found.state, found.issuer, found.authority)

    def test_it_is_renewed_when_it_is_due(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        The renewal stores the new certificate in the same directory, so its readers need no change.
        """
        place = left_by_appwrite(app)
        app.reconciler.reconcile()
        later = app.clock() + timedelta(days=80)
        due_names = replace(app.due_names, clock=lambda: later)

        assert {"looked": 1, "requested": 1} == due_names.enqueue()
        assert 1 == len(app.priority_queues)
        renewed = replace(
            app.issuance, decide=lambda metadata, now: replace(app.issuance.decide(metadata, now), due=True)
        )
        assert "issued" == renewed.issue((NAME,)).state
        current = app.certificates.current(NAME)
        assert current is not None
        assert (place / "fullchain.pem").read_bytes() == current.certificate.fullchain_pem
        assert 1 == orders(app_authority)

    def test_a_broken_pair_is_reported_and_issued_again(
        self, app: App, app_authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The worker reports a key that does not match, and issues a new certificate. Appwrite's worker leaves
        such a pair if it crashes between two files.
        """
        place = left_by_appwrite(app)
        (place / "privkey.pem").write_bytes(Signer().certificate(NAME).key.pem)

        app.reconciler.reconcile()
        assert "[fs.partial]" in caplog.text
        assert {"looked": 1, "requested": 1} == app.due_names.enqueue()

        assert "issued" == app.issuance.issue((NAME,)).state
        assert 1 == orders(app_authority)

    def test_a_name_that_certworker_cannot_renew_is_reported_and_served(
        self, app: App, app_authority: FaultyAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A valid certificate with a wildcard stays in service. The warning contains each name that the renewal
        omits.
        """
        left_by_appwrite(app, NAME, f"*.{NAME}")

        app.reconciler.reconcile()

        assert f"will not include *.{NAME}, which certworker cannot renew" in caplog.text
        assert "kept" == app.issuance.issue((NAME,)).state
        assert 0 == orders(app_authority)

    def test_the_certificate_of_another_name_is_replaced(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The worker reports a pair in the wrong directory, and issues a certificate for the name.
        """
        left_by_appwrite(app, "other.localhost")

        app.reconciler.reconcile()

        assert (
            f"[fs.partial] The certificate in {app.certificates.directory / NAME} is not usable"
            in caplog.text
        )
        assert f" for {NAME}: it is for other.localhost. " in caplog.text
        assert "issued" == app.issuance.issue((NAME,)).state

    def test_all_names_of_a_certificate_lead_to_it(self, app: App, app_authority: FaultyAuthority) -> None:
        """
        A request for all names of an adopted certificate places no order.
        """
        left_by_appwrite(app, NAME, f"www.{NAME}")

        app.reconciler.reconcile()

        assert "kept" == app.issuance.issue((NAME, f"www.{NAME}")).state
        assert 0 == orders(app_authority)

    def test_each_name_is_published_and_on_the_agenda_after_one_pass(self, app: App) -> None:
        """
        Each name gets a file of Traefik and an agenda entry, even if only one name had a file before.
        """
        left_by_appwrite(app, NAME, f"www.{NAME}")

        assert 2 == app.reconciler.reconcile()

        certificates = {name: followed(app.traefik.directory, name) for name in (NAME, f"www.{NAME}")}
        assert {NAME, f"www.{NAME}"} == set(app.agenda.names())
        assert all(certificates.values())
        assert 1 == len({certificate.serial for certificate in certificates.values() if certificate})

    @pytest.mark.parametrize("adopted", [False, True], ids=["request first", "adopted first"])
    def test_a_request_for_one_of_its_names_orders_nothing_and_removes_nothing(
        self, app: App, app_authority: FaultyAuthority, adopted: bool
    ) -> None:
        """
        A request for one name places no order, and both names stay in service.
        """
        left_by_appwrite(app, NAME, f"www.{NAME}")
        if adopted:
            app.reconciler.reconcile()

        assert "kept" == app.issuance.issue((NAME,)).state
        app.reconciler.reconcile()

        assert all(followed(app.traefik.directory, name) for name in (NAME, f"www.{NAME}"))
        assert 0 == orders(app_authority)

    def test_a_name_that_the_ca_does_not_certify_is_left_out_of_the_renewal(
        self, app: App, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The renewal omits a name that the CA rejects, so that the other names do not expire.
        """
        left_by_appwrite(app, NAME, f"_x.{NAME}")

        app.reconciler.reconcile()

        assert f"will not include _x.{NAME}, which certworker cannot renew" in caplog.text
        metadata = app.certificates.metadata(NAME)
        assert metadata
        assert (NAME,) == metadata.names

    def test_adopting_twice_changes_nothing(self, app: App) -> None:
        """
        A second pass adopts no name and changes no generation.
        """
        left_by_appwrite(app)
        app.reconciler.reconcile()
        generation = app.certificates.links.generation(NAME)

        assert 0 == app.reconciler.reconcile()
        assert generation == app.certificates.links.generation(NAME)


D = x509.DNSName
ODD: dict[str, tuple[list[x509.GeneralName], dict[str, Any]]] = {
    "capitals": ([D("Odd.localhost"), D("WWW.odd.localhost")], {}),
    "a path": ([D("odd.localhost"), D("../../evil")], {}),
    "a dot at the end": ([D("odd.localhost"), D("www.odd.localhost.")], {}),
    "an underscore": ([D("odd.localhost"), D("_x.odd.localhost")], {}),
    "the longest": ([D("odd.localhost"), D("a." * 200 + "localhost")], {}),
    "an address": ([D("odd.localhost"), x509.IPAddress(ip_address("10.0.0.7"))], {}),
    "other kinds": (
        [
            D("odd.localhost"),
            x509.RFC822Name("me@shop.dev"),
            x509.UniformResourceIdentifier("https://shop.dev/"),
        ],
        {},
    ),
    "no name at all": ([x509.RFC822Name("me@shop.dev")], {}),
    "another name": ([D("other.localhost")], {}),
    "begin is end": ([D("odd.localhost")], {"endless": True}),
    "negative serial": ([D("odd.localhost")], {"negative": True}),
    "expired": ([D("odd.localhost")], {"days_left": -1}),
}


class TestOddPairs:
    @pytest.mark.parametrize("kind", ODD)
    def test_one_unusual_pair_does_not_affect_the_others(
        self, app: App, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The worker adopts the other pairs, and the agenda contains each name.
        """
        names, how = ODD[kind]
        for name in ("a.localhost", "odd.localhost", "z.localhost"):
            files = pair(names, **how) if name == "odd.localhost" else pair([D(name)])
            (app.certificates.directory / name).mkdir()
            for file, content in files.items():
                (app.certificates.directory / name / file).write_bytes(content)

        app.reconciler.reconcile()
        app.due_names.enqueue()
        app.expiry_alerts.log()
        app.certificates.prune(app.traefik.served_generations())

        assert {"a.localhost", "odd.localhost", "z.localhost"} <= set(app.agenda.names())
        shown = {one.name: one for one in list_status(app.agenda, app.records, app.certificates, app.clock())}
        assert ("adopted", "adopted") == (shown["a.localhost"].authority, shown["z.localhost"].authority)
        assert not [record for record in caplog.records if record.exc_info]

    @pytest.mark.parametrize("meta", ["[" * 100_000, '{"names": 5}', ""], ids=["deep", "typed", "empty"])
    def test_invalid_metadata_of_one_generation_does_not_affect_the_others(self, app: App, meta: str) -> None:
        """
        The worker reads the metadata from the certificate again, and places no order.
        """
        for name in ("a.localhost", NAME, "z.localhost"):
            app.issuance.issue((name,))
        odd = app.certificates.links.generation(NAME)
        assert odd
        (odd / "meta.json").write_text(meta)
        app.connection.flushall()

        app.reconciler.reconcile()
        app.due_names.enqueue()
        app.certificates.prune(app.traefik.served_generations())

        assert {"a.localhost", NAME, "z.localhost"} == set(app.agenda.names())
        assert "kept" == app.issuance.issue((NAME,)).state

    @pytest.mark.parametrize(
        "capitals", [(NAME.title(),), (NAME, f"WWW.{NAME}"), (NAME.upper(), f"www.{NAME}")]
    )
    def test_names_compare_without_case(
        self, app: App, app_authority: FaultyAuthority, capitals: tuple[str, ...]
    ) -> None:
        """
        The worker adopts a valid certificate for its names in any case (RFC 4343), and places no order.
        """
        left_by_appwrite(app, *capitals)

        app.reconciler.reconcile()

        assert "kept" == app.issuance.issue(tuple(name.lower() for name in capitals)).state
        assert 0 == orders(app_authority)


class TestDeserted:
    def deleted_by_the_core(self, app: App) -> None:
        """
        Delete the files and then the directory, as Appwrite does.
        """
        app.issuance.issue((NAME,))
        for file in (app.certificates.directory / NAME).glob("*.*"):
            file.unlink()
        (app.certificates.directory / NAME).rmdir()

    def test_everything_of_a_deleted_name_is_removed(self, app: App) -> None:
        """
        The worker removes Traefik's file, the agenda entry, the record and the generations of a deleted name.
        """
        self.deleted_by_the_core(app)

        app.reconciler.reconcile()
        app.certificates.prune(app.traefik.served_generations())

        assert app.traefik.files(NAME) is None
        assert NAME not in app.agenda
        assert app.records.read(NAME) is None
        assert [] == list((app.certificates.directory / ".certworker" / "generations").iterdir())
        assert [] == list((app.certificates.directory / ".certworker" / "live").iterdir())

    def test_a_check_before_the_next_round_does_not_restore_it(self, app: App) -> None:
        """
        A check of a deleted name requests no certificate.
        """
        self.deleted_by_the_core(app)
        app.agenda.put(NAME, app.clock())

        assert {"looked": 1, "requested": 0} == app.due_names.enqueue()

    def test_a_name_with_a_running_issuance_stays(self, app: App) -> None:
        """
        A deleted name stays on the agenda while an issuance holds its lock.
        """
        self.deleted_by_the_core(app)
        with app.locks.hold([NAME]):
            app.reconciler.reconcile()
        assert NAME in app.agenda

        assert "issued" == app.issuance.issue((NAME,)).state
        app.reconciler.reconcile()
        assert app.traefik.files(NAME) is not None
