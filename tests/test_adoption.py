"""
What Appwrite and certbot left on the volume, and what the core deletes from it.
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

from certworker.assembly import House
from certworker.development.authority import DevelopmentAuthority
from certworker.overview import standing, standings
from certworker.serving.generation import PEM_FILES
from tests.serving.authority import Signer
from tests.serving.oddities import pair
from tests.serving.reader import followed

NAME = "shop.localhost"

#: As the original worker writes it.
YAML = """tls:
  certificates:
  -
    certFile: {0}/fullchain.pem
    keyFile: {0}/privkey.pem
"""


def left_by_appwrite(house: House, *names: str, directory: str = NAME) -> Path:
    """
    The files that the original worker moves from certbot's directory, and Traefik's file.
    """
    certificate = Signer("R11").certificate(*names or (NAME,))
    place = house.volume.directory / directory
    place.mkdir(mode=0o755)
    contents = (
        certificate.cert_pem,
        certificate.chain_pem,
        certificate.fullchain_pem,
        certificate.key.pem,
    )
    for file, content in zip(PEM_FILES, contents, strict=True):
        (place / file).write_bytes(content)
    (house.traefik.directory / f"{directory}.yml").write_text(YAML.format(place))
    return place


def orders(authority: DevelopmentAuthority) -> int:
    """
    How many orders the CA was asked for.
    """
    return sum(asked.kind == "newOrder" for asked in authority.requests)


class TestAdoption:
    def test_what_is_valid_is_served_on_and_on_the_agenda(
        self, house: House, door_authority: DevelopmentAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A CA signs the same names five times a week: nothing that works is ordered again.
        """
        place = left_by_appwrite(house)
        before = {file: (place / file).read_bytes() for file in PEM_FILES}

        with caplog.at_level(logging.INFO, "certworker"):
            assert 1 == house.rounds.reconcile()

        assert before == {file: (place / file).read_bytes() for file in PEM_FILES}
        # Traefik's file names the generation, which never changes, instead of the four files, which do.
        served = followed(house.traefik.directory, NAME)
        assert served
        assert before["fullchain.pem"] == served.fullchain_pem
        moment = house.agenda.moment(NAME)
        assert moment is not None
        assert moment > house.clock()
        assert "adopted: issued by R11, valid until 20" in caplog.text
        assert "kept" == house.issuer.issue((NAME,)).state
        assert 0 == orders(door_authority)

    def test_status_says_where_it_comes_from(self, house: House) -> None:
        """
        Until it is renewed.
        """
        left_by_appwrite(house)
        house.rounds.reconcile()

        found = standing(NAME, house.agenda, house.records, house.volume, house.clock())

        assert ("valid", "R11", "adopted") == (found.state, found.issuer, found.authority)

    def test_it_is_renewed_when_it_is_due(self, house: House, door_authority: DevelopmentAuthority) -> None:
        """
        By us, into the same directory, whose reader notices nothing else.
        """
        place = left_by_appwrite(house)
        house.rounds.reconcile()
        later = house.clock() + timedelta(days=80)
        rounds = replace(house.rounds, clock=lambda: later)

        assert {"looked": 1, "requested": 1} == rounds.look()
        assert 1 == len(house.lanes)
        renewed = replace(
            house.issuer, plan=lambda facts, now: replace(house.issuer.plan(facts, now), due=True)
        )
        assert "issued" == renewed.issue((NAME,)).state
        current = house.volume.current(NAME)
        assert current is not None
        assert (place / "fullchain.pem").read_bytes() == current.certificate.fullchain_pem
        assert 1 == orders(door_authority)

    def test_a_broken_pair_is_told_and_issued_anew(
        self, house: House, door_authority: DevelopmentAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The original worker moves four files, one after the other, and died between two of them.
        """
        place = left_by_appwrite(house)
        (place / "privkey.pem").write_bytes(Signer().certificate(NAME).key.pem)

        house.rounds.reconcile()
        assert "[fs.partial]" in caplog.text
        assert {"looked": 1, "requested": 1} == house.rounds.look()

        assert "issued" == house.issuer.issue((NAME,)).state
        assert 1 == orders(door_authority)

    def test_a_name_that_certworker_cannot_renew_is_reported_and_served_until_then(
        self, house: House, door_authority: DevelopmentAuthority, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A valid certificate with a wildcard stays in service; the warning names what its renewal lacks.
        """
        left_by_appwrite(house, NAME, f"*.{NAME}")

        house.rounds.reconcile()

        assert f"also for *.{NAME}, which certworker cannot renew" in caplog.text
        assert "kept" == house.issuer.issue((NAME,)).state
        assert 0 == orders(door_authority)

    def test_the_certificate_of_another_name_is_replaced(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A pair in the wrong directory is reported, and the name gets a certificate of its own.
        """
        left_by_appwrite(house, "other.localhost")

        house.rounds.reconcile()

        assert "[fs.partial]" in caplog.text
        assert "issued" == house.issuer.issue((NAME,)).state

    def test_all_names_of_a_certificate_lead_to_it(
        self, house: House, door_authority: DevelopmentAuthority
    ) -> None:
        """
        Or it would be incomplete, and ordered again.
        """
        left_by_appwrite(house, NAME, f"www.{NAME}")

        house.rounds.reconcile()

        assert "kept" == house.issuer.issue((NAME, f"www.{NAME}")).state
        assert 0 == orders(door_authority)

    def test_each_of_them_is_published_and_on_the_agenda_at_once(self, house: House) -> None:
        """
        The other program had a file of Traefik for one of the names only.
        """
        left_by_appwrite(house, NAME, f"www.{NAME}")

        assert 2 == house.rounds.reconcile()

        certificates = {name: followed(house.traefik.directory, name) for name in (NAME, f"www.{NAME}")}
        assert {NAME, f"www.{NAME}"} == set(house.agenda.names())
        assert all(certificates.values())
        assert 1 == len({certificate.serial for certificate in certificates.values() if certificate})

    @pytest.mark.parametrize("adopted", [False, True], ids=["request first", "adopted first"])
    def test_a_request_for_one_of_its_names_is_kept_and_takes_nothing_away(
        self, house: House, door_authority: DevelopmentAuthority, adopted: bool
    ) -> None:
        """
        The certificate is valid for the name; the other name is served on, too.
        """
        left_by_appwrite(house, NAME, f"www.{NAME}")
        if adopted:
            house.rounds.reconcile()

        assert "kept" == house.issuer.issue((NAME,)).state
        house.rounds.reconcile()

        assert all(followed(house.traefik.directory, name) for name in (NAME, f"www.{NAME}"))
        assert 0 == orders(door_authority)

    def test_a_name_that_no_ca_of_ours_certifies_is_left_out_of_the_renewal(
        self, house: House, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A request with such a name is refused, and the others would expire with it.
        """
        left_by_appwrite(house, NAME, f"_x.{NAME}")

        house.rounds.reconcile()

        assert f"also for _x.{NAME}, which certworker cannot renew" in caplog.text
        facts = house.volume.facts(NAME)
        assert facts
        assert (NAME,) == facts.names

    def test_adopting_twice_changes_nothing(self, house: House) -> None:
        """
        It happens at every start.
        """
        left_by_appwrite(house)
        house.rounds.reconcile()
        generation = house.volume.links.generation(NAME)

        assert 0 == house.rounds.reconcile()
        assert generation == house.volume.links.generation(NAME)


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
    def test_one_odd_pair_never_stops_the_others(
        self, house: House, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The names before and behind it are adopted, every name is on the agenda, and every view shows all.
        """
        names, how = ODD[kind]
        for name in ("a.localhost", "odd.localhost", "z.localhost"):
            files = pair(names, **how) if name == "odd.localhost" else pair([D(name)])
            (house.volume.directory / name).mkdir()
            for file, content in files.items():
                (house.volume.directory / name / file).write_bytes(content)

        house.rounds.reconcile()
        house.rounds.look()
        house.overdue.tell()
        house.volume.prune(house.traefik.served())

        assert {"a.localhost", "odd.localhost", "z.localhost"} <= set(house.agenda.names())
        shown = {one.name: one for one in standings(house.agenda, house.records, house.volume, house.clock())}
        assert ("adopted", "adopted") == (shown["a.localhost"].authority, shown["z.localhost"].authority)
        assert not [record for record in caplog.records if record.exc_info]

    @pytest.mark.parametrize("meta", ["[" * 100_000, '{"names": 5}', ""], ids=["deep", "typed", "empty"])
    def test_nor_does_one_odd_generation(self, house: House, meta: str) -> None:
        """
        What is known of a certificate can be read from the certificate, too: nothing is ordered.
        """
        for name in ("a.localhost", NAME, "z.localhost"):
            house.issuer.issue((name,))
        odd = house.volume.links.generation(NAME)
        assert odd
        (odd / "meta.json").write_text(meta)
        house.connection.flushall()

        house.rounds.reconcile()
        house.rounds.look()
        house.volume.prune(house.traefik.served())

        assert {"a.localhost", NAME, "z.localhost"} == set(house.agenda.names())
        assert "kept" == house.issuer.issue((NAME,)).state

    @pytest.mark.parametrize(
        "capitals", [(NAME.title(),), (NAME, f"WWW.{NAME}"), (NAME.upper(), f"www.{NAME}")]
    )
    def test_names_compare_without_case(
        self, house: House, door_authority: DevelopmentAuthority, capitals: tuple[str, ...]
    ) -> None:
        """
        A valid certificate is adopted for its names in any spelling (RFC 4343), and nothing is ordered.
        """
        left_by_appwrite(house, *capitals)

        house.rounds.reconcile()

        assert "kept" == house.issuer.issue(tuple(name.lower() for name in capitals)).state
        assert 0 == orders(door_authority)


class TestDeserted:
    def deleted_by_the_core(self, house: House) -> None:
        """
        As it does it: what the directory has, then the directory.
        """
        house.issuer.issue((NAME,))
        for file in (house.volume.directory / NAME).glob("*.*"):
            file.unlink()
        (house.volume.directory / NAME).rmdir()

    def test_everything_of_it_goes(self, house: House) -> None:
        """
        The core leaves Traefik's file behind, and the certificate would be renewed for ever.
        """
        self.deleted_by_the_core(house)

        house.rounds.reconcile()
        house.volume.prune(house.traefik.served())

        assert house.traefik.files(NAME) is None
        assert NAME not in house.agenda
        assert house.records.read(NAME) is None
        assert [] == list((house.volume.directory / ".certworker" / "generations").iterdir())
        assert [] == list((house.volume.directory / ".certworker" / "live").iterdir())

    def test_a_look_before_the_next_round_does_not_bring_it_back(self, house: House) -> None:
        """
        A customer who left must not be asked about at the CA.
        """
        self.deleted_by_the_core(house)
        house.agenda.put(NAME, house.clock())

        assert {"looked": 1, "requested": 0} == house.rounds.look()

    def test_what_is_being_issued_again_stays(self, house: House) -> None:
        """
        Deleted and added again within the minute.
        """
        self.deleted_by_the_core(house)
        with house.locks.hold([NAME]):
            house.rounds.reconcile()
        assert NAME in house.agenda

        assert "issued" == house.issuer.issue((NAME,)).state
        house.rounds.reconcile()
        assert house.traefik.files(NAME) is not None
