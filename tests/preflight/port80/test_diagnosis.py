"""
From journeys to failures.
"""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from certworker.preflight.port80.diagnosis import (
    APPWRITE,
    TRAEFIK,
    HopResult,
    diagnosis,
    is_certain,
    not_connected,
)
from certworker.preflight.port80.http_get import FetchError, Reply
from certworker.preflight.port80.probe import Fetch, Hop

NAME = "shop.example.org"
PUBLIC, OTHER, PRIVATE, IPV6 = "93.184.216.34", "93.184.216.35", "10.0.0.7", "2606:2800:220:1::1"


def journey(*addresses: str, trouble: FetchError | None = None, reply: Reply | None = None) -> Fetch:
    """
    One with a stop at each address; every stop but the first is on HTTPS.
    """
    stops = tuple(
        Hop(f"http{'s' if number else ''}://{NAME}/{number}", ip_address(address))
        for number, address in enumerate(addresses)
    )
    return Fetch(stops, 0.1, reply, trouble)


def station(title: str, *, brings: bool, trouble: FetchError | None = None) -> HopResult:
    """
    A station on our side.
    """
    return HopResult(title, journey(PRIVATE, trouble=trouble), brings)


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
            journey(PUBLIC, trouble=FetchError.BAD_REDIRECT),
            journey(PUBLIC, trouble=FetchError.NOT_HTTP),
            journey(PUBLIC, PUBLIC, trouble=FetchError.REFUSED),
            journey(PUBLIC, PUBLIC, trouble=FetchError.TIMEOUT),
            journey(PRIVATE, trouble=FetchError.REFUSED),
        ],
    )
    def test_what_the_ca_would_meet_as_well(self, met: Fetch) -> None:
        """
        Where the first connection was taken, nothing between us and that address keeps the next one away.
        """
        assert is_certain(met, [])

    @pytest.mark.parametrize(
        "met",
        [
            journey(PUBLIC, trouble=FetchError.TIMEOUT),
            journey(PUBLIC, trouble=FetchError.REFUSED),
            journey(PUBLIC, trouble=FetchError.RESET),
            journey(PUBLIC, trouble=FetchError.SILENT),
            journey(PUBLIC, OTHER, trouble=FetchError.REFUSED),
            journey(PRIVATE, trouble=FetchError.TIMEOUT),
            journey(PUBLIC, reply=Reply(200, {"server": "micro_httpd"}, b"")),
        ],
    )
    def test_what_may_be_towards_us_only(self, met: Fetch) -> None:
        """
        We stand inside, the CA does not.
        """
        assert not is_certain(met, [])

    def test_a_traefik_that_is_down_is_down_for_everybody(self) -> None:
        """
        It is the one that would answer.
        """
        refused = station(TRAEFIK, brings=False, trouble=FetchError.REFUSED)

        assert is_certain(journey(PUBLIC, trouble=FetchError.TIMEOUT), [refused])


class TestNotTaken:
    def test_only_the_first_connection_counts(self) -> None:
        """
        After a redirect a CA does not fall back to IPv4.
        """
        assert not_connected(journey(IPV6, trouble=FetchError.TIMEOUT))
        assert not not_connected(journey(IPV6, IPV6, trouble=FetchError.TIMEOUT))
        assert not not_connected(journey(IPV6, trouble=FetchError.SILENT))


class TestDiagnosis:
    @pytest.mark.parametrize(
        ("trouble", "code"),
        [
            (FetchError.TIMEOUT, "http.timeout"),
            (FetchError.REFUSED, "http.refused"),
            (FetchError.RESET, "http.reset"),
            (FetchError.SILENT, "http.slow"),
            (FetchError.NOT_HTTP, "http.https_on_80"),
            (FetchError.NOT_TLS, "http.http_on_443"),
            (FetchError.BAD_TLS, "acme.tls"),
            (FetchError.BAD_REDIRECT, "http.redirect_bad"),
            (FetchError.LOOP, "http.redirect_loop"),
        ],
    )
    def test_each_trouble_has_its_code(self, trouble: FetchError, code: str) -> None:
        """
        The one that the CA's own refusal would have.
        """
        assert code == diagnosis(NAME, journey(PUBLIC, trouble=trouble), []).code

    @pytest.mark.parametrize(
        ("met", "code"),
        [
            (journey(PUBLIC, PUBLIC, trouble=FetchError.REFUSED), "http.redirect_https_closed"),
            (journey(PUBLIC, IPV6, trouble=FetchError.TIMEOUT), "dns.aaaa_wrong"),
            (journey(PUBLIC, PUBLIC, reply=not_found()), "http.404"),
        ],
    )
    def test_after_a_redirect_it_is_another_one(self, met: Fetch, code: str) -> None:
        """
        The remedy is at the second server.
        """
        assert code == diagnosis(NAME, met, []).code

    def test_a_plain_hop_that_is_closed_is_named(self) -> None:
        """
        Redirects to another host are easily forgotten.
        """
        stops = (
            Hop("http://shop.example.org/", ip_address(PUBLIC)),
            Hop("http://old.example.org/", ip_address(OTHER)),
        )
        failure = diagnosis(NAME, Fetch(stops, 1, None, FetchError.TIMEOUT), [])

        assert "http.redirect_bad" == failure.code
        assert "http://old.example.org/: no response" in failure.message

    @pytest.mark.parametrize(
        ("stations", "words"),
        [
            ([], "does not have the response"),
            ([station(TRAEFIK, brings=True)], "Another server answers"),
            ([station("the worker", brings=True), station(TRAEFIK, brings=False)], "Traefik does not route"),
            ([station(APPWRITE, brings=False), station(TRAEFIK, brings=False)], "Appwrite does not see"),
            ([station(TRAEFIK, brings=False)], "does not have the response"),
        ],
    )
    def test_the_station_that_breaks_it_is_named(self, stations: list[HopResult], words: str) -> None:
        """
        There are three ways to a 404, and three remedies.
        """
        assert words in diagnosis(NAME, journey(PUBLIC, reply=not_found()), stations).message

    def test_a_traefik_without_routes_is_known_by_its_words(self) -> None:
        """
        An old one cannot read the labels of a new Docker.
        """
        met = journey(PUBLIC, reply=not_found("404 page not found\n"))

        assert "http.traefik_no_route" == diagnosis(NAME, met, [station(TRAEFIK, brings=False)]).code
        assert "http.404" == diagnosis(NAME, met, [station(TRAEFIK, brings=True)]).code

    def test_a_silence_that_only_we_meet_is_the_router(self) -> None:
        """
        It does not lead its own public address back inside.
        """
        met = journey(PUBLIC, trouble=FetchError.TIMEOUT)

        assert "http.hairpin" == diagnosis(NAME, met, [station(TRAEFIK, brings=True)]).code
