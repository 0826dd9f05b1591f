"""
An account of ours, bound to one on the web site of a CA.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from certworker.acme.eab import ExternalAccountBinding
from certworker.errors.acct import ExternalAccountRequired
from tests.acme.clients import client_of, issued
from tests.servers.development import ChallengeServer
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.pebble import Pebble, programs

KEY_ID = "kid-1"
#: Pebble wants at least 32 bytes.
HMAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
OTHER_KEY = "b10lLJs8l1GPIzsLP0s6pMt8O0XVGnfTaCeROxQM0BIt2XrJMDHJZBM5NuQmQJQH"


@pytest.fixture
def strict_pebble(tmp_path: Path) -> Iterator[Pebble]:
    """
    A Pebble that wants new accounts bound.
    """
    server = Pebble(tmp_path / "pebble", programs()[0])
    server.start(external_accounts={KEY_ID: HMAC_KEY})
    yield server
    server.close()


class TestBinding:
    def test_the_development_ca_accepts_it(
        self, authority: FaultyAuthority, challenge_server: ChallengeServer, tmp_path: Path
    ) -> None:
        """
        It checks the binding as RFC 8555 says: algorithm, key id, URL, signature, and the key inside.
        """
        authority.policy.external_accounts[KEY_ID] = b"secret"
        client = client_of(
            authority.directory_url, tmp_path, external_account=ExternalAccountBinding(KEY_ID, "c2VjcmV0")
        )

        assert ("demo.localhost",) == issued(client, challenge_server, "demo.localhost").names

    def test_pebble_accepts_it(self, strict_pebble: Pebble, tmp_path: Path) -> None:
        """
        A CA that we did not write.
        """
        client = client_of(
            strict_pebble.directory_url,
            tmp_path,
            ca_bundle=strict_pebble.ca_bundle,
            external_account=ExternalAccountBinding(KEY_ID, HMAC_KEY),
        )

        assert client.order(("demo.example.com",)).answers

    def test_without_one_the_variables_are_named(self, strict_pebble: Pebble, tmp_path: Path) -> None:
        """
        ZeroSSL and Google want it; nobody should have to guess how it is set.
        """
        client = client_of(strict_pebble.directory_url, tmp_path, ca_bundle=strict_pebble.ca_bundle)

        with pytest.raises(ExternalAccountRequired, match="CERTWORKER_EAB_KID and CERTWORKER_EAB_HMAC_KEY"):
            client.order(("demo.example.com",))

    @pytest.mark.parametrize(
        "wrong",
        [ExternalAccountBinding("kid-2", HMAC_KEY), ExternalAccountBinding(KEY_ID, OTHER_KEY)],
        ids=["id", "key"],
    )
    def test_a_wrong_one_is_told_in_the_ca_s_words(
        self, strict_pebble: Pebble, tmp_path: Path, wrong: ExternalAccountBinding
    ) -> None:
        """
        A slip in copying: the same remedy, and what the CA says about it.
        """
        client = client_of(
            strict_pebble.directory_url, tmp_path, ca_bundle=strict_pebble.ca_bundle, external_account=wrong
        )

        with pytest.raises(ExternalAccountRequired) as failure:
            client.order(("demo.example.com",))
        assert failure.value.problem

    def test_a_wrong_one_at_the_development_ca(self, authority: FaultyAuthority, tmp_path: Path) -> None:
        """
        The same failure there, so that it can be met on a laptop.
        """
        authority.policy.external_accounts[KEY_ID] = b"secret"
        client = client_of(
            authority.directory_url, tmp_path, external_account=ExternalAccountBinding(KEY_ID, HMAC_KEY)
        )

        with pytest.raises(ExternalAccountRequired):
            client.order(("demo.localhost",))

    def test_the_key_shows_nowhere(self) -> None:
        """
        Values are printed when things go wrong.
        """
        assert HMAC_KEY not in repr(ExternalAccountBinding(KEY_ID, HMAC_KEY))
