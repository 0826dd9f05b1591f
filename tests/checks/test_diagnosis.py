"""
From journeys to failures.
"""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from certworker.checks.diagnosis import APPWRITE, TRAEFIK, Station, diagnosis, is_certain, not_taken
from certworker.checks.exchange import Reply, Trouble
from certworker.checks.probe import Journey, Stop

NAME = "shop.example.org"
PUBLIC, OTHER, PRIVATE, IPV6 = "93.184.216.34", "93.184.216.35", "10.0.0.7", "2606:2800:220:1::1"


def journey(*addresses: str, trouble: Trouble | None = None, reply: Reply | None = None) -> Journey:
    """
    One with a stop at each address; every stop but the first is on HTTPS.
    """
    stops = tuple(
        Stop(f"http{'s' if number else ''}://{NAME}/{number}", ip_address(address))
        for number, address in enumerate(addresses)
    )
    return Journey(stops, 0.1, reply, trouble)


def station(title: str, *, brings: bool, trouble: Trouble | None = None) -> Station:
    """
    A station on our side.
    """
    return Station(title, journey(PRIVATE, trouble=trouble), brings)


def not_found(body: str = "") -> Reply:
    """
    A server that has no such page.
    """
    return Reply(404, {}, body.encode())


class TestIsCertain:
    @pytest.mark.parametrize(
        "met",
        [
            journey(PUBLIC, reply=not_found()),
            journey(PUBLIC, trouble=Trouble.BAD_REDIRECT),
            journey(PUBLIC, trouble=Trouble.NOT_HTTP),
            journey(PUBLIC, PUBLIC, trouble=Trouble.REFUSED),
            journey(PUBLIC, PUBLIC, trouble=Trouble.TIMEOUT),
            journey(PRIVATE, trouble=Trouble.REFUSED),
        ],
    )
    def test_what_the_ca_would_meet_as_well(self, met: Journey) -> None:
        """
        Where the first connection was taken, nothing between us and that address keeps the next one away.
        """
        assert is_certain(met, [])

    @pytest.mark.parametrize(
        "met",
        [
            journey(PUBLIC, trouble=Trouble.TIMEOUT),
            journey(PUBLIC, trouble=Trouble.REFUSED),
            journey(PUBLIC, trouble=Trouble.RESET),
            journey(PUBLIC, trouble=Trouble.SILENT),
            journey(PUBLIC, OTHER, trouble=Trouble.REFUSED),
            journey(PRIVATE, trouble=Trouble.TIMEOUT),
            journey(PUBLIC, reply=Reply(200, {"server": "micro_httpd"}, b"")),
        ],
    )
    def test_what_may_be_towards_us_only(self, met: Journey) -> None:
        """
        We stand inside, the CA does not.
        """
        assert not is_certain(met, [])

    def test_a_traefik_that_is_down_is_down_for_everybody(self) -> None:
        """
        It is the one that would answer.
        """
        refused = station(TRAEFIK, brings=False, trouble=Trouble.REFUSED)

        assert is_certain(journey(PUBLIC, trouble=Trouble.TIMEOUT), [refused])


class TestNotTaken:
    def test_only_the_first_connection_counts(self) -> None:
        """
        After a redirect a CA does not fall back to IPv4.
        """
        assert not_taken(journey(IPV6, trouble=Trouble.TIMEOUT))
        assert not not_taken(journey(IPV6, IPV6, trouble=Trouble.TIMEOUT))
        assert not not_taken(journey(IPV6, trouble=Trouble.SILENT))


class TestDiagnosis:
    @pytest.mark.parametrize(
        ("trouble", "code"),
        [
            (Trouble.TIMEOUT, "http.timeout"),
            (Trouble.REFUSED, "http.refused"),
            (Trouble.RESET, "http.reset"),
            (Trouble.SILENT, "http.slow"),
            (Trouble.NOT_HTTP, "http.https_on_80"),
            (Trouble.NOT_TLS, "http.http_on_443"),
            (Trouble.BAD_TLS, "acme.tls"),
            (Trouble.BAD_REDIRECT, "http.redirect_bad"),
            (Trouble.LOOP, "http.redirect_loop"),
        ],
    )
    def test_each_trouble_has_its_code(self, trouble: Trouble, code: str) -> None:
        """
        The one that the CA's own refusal would have.
        """
        assert code == diagnosis(NAME, journey(PUBLIC, trouble=trouble), []).code

    @pytest.mark.parametrize(
        ("met", "code"),
        [
            (journey(PUBLIC, PUBLIC, trouble=Trouble.REFUSED), "http.redirect_https_closed"),
            (journey(PUBLIC, IPV6, trouble=Trouble.TIMEOUT), "dns.aaaa_wrong"),
            (journey(PUBLIC, PUBLIC, reply=not_found()), "http.404"),
        ],
    )
    def test_after_a_redirect_it_is_another_one(self, met: Journey, code: str) -> None:
        """
        The remedy is at the second server.
        """
        assert code == diagnosis(NAME, met, []).code

    def test_a_plain_hop_that_is_closed_is_named(self) -> None:
        """
        Redirects to another host are easily forgotten.
        """
        stops = (
            Stop("http://shop.example.org/", ip_address(PUBLIC)),
            Stop("http://old.example.org/", ip_address(OTHER)),
        )
        failure = diagnosis(NAME, Journey(stops, 1, None, Trouble.TIMEOUT), [])

        assert "http.redirect_bad" == failure.code
        assert "http://old.example.org/, where nobody answered" in failure.message

    @pytest.mark.parametrize(
        ("stations", "words"),
        [
            ([], "does not have the answer"),
            ([station(TRAEFIK, brings=True)], "Another server answers"),
            ([station("the worker", brings=True), station(TRAEFIK, brings=False)], "Traefik does not route"),
            ([station(APPWRITE, brings=False), station(TRAEFIK, brings=False)], "Appwrite does not see"),
            ([station(TRAEFIK, brings=False)], "does not have the answer"),
        ],
    )
    def test_the_station_that_breaks_it_is_named(self, stations: list[Station], words: str) -> None:
        """
        There are three ways to a 404, and three remedies.
        """
        assert words in diagnosis(NAME, journey(PUBLIC, reply=not_found()), stations).message

    def test_a_traefik_without_routes_is_known_by_its_words(self) -> None:
        """
        An old one cannot read the labels of a new Docker.
        """
        met = journey(PUBLIC, reply=not_found("404 page not found\n"))

        assert "http.traefik_docker" == diagnosis(NAME, met, [station(TRAEFIK, brings=False)]).code
        assert "http.404" == diagnosis(NAME, met, [station(TRAEFIK, brings=True)]).code

    def test_a_silence_that_only_we_meet_is_the_router(self) -> None:
        """
        It does not lead its own public address back inside.
        """
        met = journey(PUBLIC, trouble=Trouble.TIMEOUT)

        assert "http.hairpin" == diagnosis(NAME, met, [station(TRAEFIK, brings=True)]).code
