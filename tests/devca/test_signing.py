"""
Dates of certificates, short and long.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.servers.acme_client import AcmeClient
from tests.servers.development import ChallengeServer
from tests.servers.faulty_authority import FaultyAuthority


class TestDates:
    @pytest.mark.parametrize("life", [timedelta(seconds=5), timedelta(hours=160), timedelta(days=90)])
    def test_the_lifetime_is_kept(
        self,
        authority: FaultyAuthority,
        client: AcmeClient,
        challenge_server: ChallengeServer,
        life: timedelta,
    ) -> None:
        """
        A demo shows a renewal after seconds; the lifetime changes while the CA runs.
        """
        authority.lifetime = life
        issued = client.issue("shop.localhost", server=challenge_server)
        assert life == issued.not_after - issued.not_before
        issued.check(("shop.localhost",), datetime.now(UTC))

    def test_a_long_one_begins_an_hour_early(
        self, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        As at Let's Encrypt, for visitors whose clock is behind.
        """
        issued = client.issue("shop.localhost", server=challenge_server)
        early = datetime.now(UTC) - issued.not_before
        assert timedelta(hours=1) <= early < timedelta(hours=1, minutes=1)
