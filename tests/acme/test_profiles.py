"""
Which profile an order names.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.acme.profiles import profile_for
from certworker.devca.validation import Validator
from certworker.errors.acme import InvalidProfile
from certworker.errors.payload import TooManyNames
from tests.acme.clients import client_of, issued
from tests.servers.development import ChallengeServer
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.pebble import Pebble

LETS_ENCRYPTS = {"classic": "", "tlsserver": "", "shortlived": ""}
LETS_ENCRYPT = {"label": "letsencrypt", "title": "Let's Encrypt"}
NAME = ("api.example.org",)


def names(number: int) -> tuple[str, ...]:
    """
    So many names.
    """
    return tuple(f"{each}.example.org" for each in range(number))


class TestChoice:
    def test_none_is_named_if_none_is_set(self) -> None:
        """
        The CA's usual one is its own affair, and changes with the years.
        """
        assert profile_for(NAME, None, LETS_ENCRYPTS, **LETS_ENCRYPT) is None

    def test_the_one_that_is_set_is_named(self) -> None:
        """
        As long as the directory has it.
        """
        assert "tlsserver" == profile_for(NAME, "tlsserver", LETS_ENCRYPTS, **LETS_ENCRYPT)

    def test_an_unknown_one_is_told_with_the_known_ones(self) -> None:
        """
        Before the account is used.
        """
        with pytest.raises(InvalidProfile, match="no tlsclient, only classic, tlsserver, shortlived"):
            profile_for(NAME, "tlsclient", LETS_ENCRYPTS, **LETS_ENCRYPT)

    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
    def test_an_address_is_ordered_where_the_ca_certifies_them(self, address: str) -> None:
        """
        Let's Encrypt does so for 160 hours only; nobody has to know that who has nothing but an address.
        """
        assert "shortlived" == profile_for((*NAME, address), None, LETS_ENCRYPTS, **LETS_ENCRYPT)

    def test_a_ca_without_it_is_asked_as_usual(self) -> None:
        """
        Another CA may certify them in its only profile.
        """
        assert profile_for(("8.8.8.8",), None, {}, label="ca.example.org", title="The CA") is None

    def test_what_is_set_wins(self) -> None:
        """
        The CA will say itself if it does not do that.
        """
        assert "classic" == profile_for(("8.8.8.8",), "classic", LETS_ENCRYPTS, **LETS_ENCRYPT)


class TestNumberOfNames:
    @pytest.mark.parametrize(("profile", "most"), [(None, 100), ("classic", 100), ("tlsserver", 25)])
    def test_more_than_lets_encrypt_takes_are_told_before(self, profile: str | None, most: int) -> None:
        """
        An order that it refuses is counted all the same.
        """
        assert profile == profile_for(names(most), profile, LETS_ENCRYPTS, **LETS_ENCRYPT)
        with pytest.raises(
            TooManyNames, match=f"has {most + 1} names, and a certificate can have at most {most}"
        ):
            profile_for(names(most + 1), profile, LETS_ENCRYPTS, **LETS_ENCRYPT)

    def test_addresses_count_by_the_profile_that_is_chosen_for_them(self) -> None:
        """
        Fewer fit into it.
        """
        with pytest.raises(TooManyNames):
            profile_for((*names(25), "8.8.8.8"), None, LETS_ENCRYPTS, **LETS_ENCRYPT)

    def test_of_another_ca_nothing_is_assumed(self) -> None:
        """
        A profile of the same name may take more there.
        """
        many = names(200)

        assert "tlsserver" == profile_for(many, "tlsserver", LETS_ENCRYPTS, label="ca", title="The CA")


class TestOrder:
    @pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
    def test_an_address_gets_a_certificate(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path, address: str
    ) -> None:
        """
        Identifier, answer at the literal host, signing request and certificate (RFC 8738).
        """
        authority.validator = Validator(challenge_server.port, lambda _: "127.0.0.1")

        certificate = issued(client_of(authority.directory_url, tmp_path), challenge_server, address)

        assert (address,) == certificate.names
        assert 160 == (certificate.not_after - certificate.not_before).total_seconds() / 3600
        assert [f"[{address}]" if ":" in address else address] == challenge_server.hosts

    def test_pebble_certifies_it_too(self, each_pebble: Pebble, tmp_path: Path) -> None:
        """
        A CA that we did not write.
        """
        with ChallengeServer(port=each_pebble.http_port) as site:
            client = client_of(each_pebble.directory_url, tmp_path, ca_bundle=each_pebble.ca_bundle)

            assert ("127.0.0.1",) == issued(client, site, "127.0.0.1").names
