"""
The settings and commands of docs/guides/customers-domains.md run without changes.

The name servers, the CA and the worker are real. Only the days of the daily checks are skipped.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dns.query
import dns.tsig
import dns.update
import pytest

from certworker.state.sightings import Sighting, Sightings
from certworker.worker.moved_watch import CHECKED, TURN
from tests.documentation import DOCS
from tests.guides import CUSTOMER, TOP_LEVEL, ZONE, Machine, sections, start
from tests.servers.bind import HERE, KEY, Bind
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.web import WebServer, always

PAGE = DOCS / "guides" / "customers-domains.md"
NAME = f"shop.{CUSTOMER}"
ELSEWHERE = "127.0.0.6"

DAY = timedelta(days=1)


@pytest.fixture
def machine(tmp_path: Path, redis_server: RedisServer) -> Machine:
    """
    Return a machine without settings.
    """
    return Machine(tmp_path, redis_server)


def point(server: Bind, kind: str, value: str) -> None:
    """
    Replace all records of the name by one record.
    """
    update = dns.update.UpdateMessage(CUSTOMER, keyring=dns.tsig.Key(KEY.name, KEY.secret, KEY.algorithm))
    update.delete("shop")
    update.add("shop", 60, kind, value)
    host, port = server.address
    dns.query.tcp(update, host, port=port, timeout=10)


def paste(server: Bind, lines: str) -> None:
    """
    Add the records that `certworker records` has printed to the zone of the customer.
    """
    for line in lines.splitlines():
        owner, kind, value = line.partition("  ;")[0].split(" ", 2)
        server.add(CUSTOMER, owner, kind, value)


class TestPage:
    def test_from_the_records_to_a_customer_that_moves_away(self, machine: Machine) -> None:
        """
        The customer creates the printed records, gets a certificate, moves away and returns.
        """
        page = sections(PAGE)
        [settings] = page["Settings"].settings
        [records], [shown] = (
            page["Show the customer the records"].commands,
            page["Show the customer the records"]["text output"],
        )
        [request], [issued] = (
            page["Request the certificate"].commands,
            page["Request the certificate"]["text output"],
        )
        moved, back, remove = page["When a customer moves away"].commands
        of_moved, of_back = page["When a customer moves away"]["text output"]
        zones = {ZONE: [f"edge A {HERE}"], CUSTOMER: [], **TOP_LEVEL}
        with (
            Bind(machine.root / "bind", (HERE, free_port()), zones) as server,
            machine.ready(machine.settings(settings), server.address) as worker,
            machine.redis.client() as connection,
        ):
            assert shown == machine.run(worker, records, exit_code=1)
            start(worker)
            assert "dns.ownership_missing" in machine.run(worker, request, exit_code=1)
            paste(server, shown)
            assert shown.replace("missing", "right") == machine.run(worker, records)
            assert issued == machine.run(worker, request)

            point(server, "A", ELSEWHERE)
            http_port = int(worker.environment["CERTWORKER_HTTP01_PORT"])
            now = datetime.now(UTC)
            Sightings(connection).put(NAME, Sighting(2, now - 2 * DAY, now - DAY, ELSEWHERE))
            connection.delete(CHECKED, f"{TURN}names")
            worker.terminate()
            with WebServer(always(404), ELSEWHERE, http_port):
                start(worker)
                worker.wait_for_line(r"\[dns.moved\]")
                machine.run(worker, moved, [of_moved])
            point(server, "CNAME", f"edge.{ZONE}.")
            assert of_back == machine.run(worker, back)
            machine.run(worker, remove)

    def test_each_command_is_run(self) -> None:
        """
        The page has no other section with commands.
        """
        titles = {title for title, section in sections(PAGE).items() if section["sh"]}

        assert {
            "Settings",
            "Show the customer the records",
            "Request the certificate",
            "When a customer moves away",
        } == titles
