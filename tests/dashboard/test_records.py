"""
Tests of the DNS records of a name.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis

from certworker.dashboard import records as module
from certworker.dashboard.records import MOST_AT_A_TIME, TooManyQueries, records
from certworker.dashboard.sources import Sources
from certworker.errors import CertworkerError
from certworker.settings import load
from tests.app_fixture import environment
from tests.servers.zones import World

TARGET = "target.example.test"


class TestRecords:
    def test_they_are_those_of_the_target_as_seen_in_dns(
        self, tmp_path: Path, connection: Redis, dns_world: World
    ) -> None:
        """
        A custom domain needs the alias of the target, which is missing or right in DNS.
        """
        rows = {"www.example.test": {"CNAME": [TARGET]}, TARGET: {"A": ["203.0.113.7"]}}
        dns_world.zone("example.test", rows)
        host, port = dns_world.resolver.address
        variables = {"_APP_DOMAIN_TARGET_CNAME": TARGET, "_APP_DNS": f"{host}:{port}"}
        settings = load(environment(tmp_path, "http://localhost:9/dir", 9, **variables))
        sources = Sources.of(settings, connection)

        (right,), (missing,) = records(sources, "WWW.example.test"), records(sources, "x.example.test")
        assert ("CNAME", TARGET, "right") == (right.kind, right.value, right.state)
        assert ("x.example.test", "missing") == (missing.owner, missing.state)

    def test_slow_name_servers_do_not_use_all_threads(self, sources: Sources) -> None:
        """
        While several requests wait for name servers, the next one is refused immediately.
        """
        with ExitStack() as stack:
            for _ in range(MOST_AT_A_TIME):
                stack.enter_context(module._places)
            with pytest.raises(TooManyQueries):
                records(sources, "shop.localhost")

        records(sources, "shop.localhost")

    def test_an_invalid_name_is_refused(self, sources: Sources) -> None:
        """
        A text that is not a name raises its failure.
        """
        with pytest.raises(CertworkerError):
            records(sources, "no name")
