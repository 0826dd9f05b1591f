"""
The time of a job for a wildcard by DNS-01 with dynamic updates of a local BIND, compared with lego.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.figures import Figure, progress
from bench.worlds import OWN_DOMAIN, SLOTS_AT_PEBBLE, Worker, worker
from tests.servers.bind import HERE, KEY, Bind
from tests.servers.pebble import Pebble
from tests.servers.ports import free_port

TITLE = "one wildcard"
NOTE = (
    "one wildcard: from RPUSH to the YAML file, median of 25 warm jobs. Pebble and certworker query a local "
    "BIND, which certworker updates (rfc2136). lego starts for each wildcard, with a registered account, and "
    "does not wait until the name servers have the record: median of three."
)

ZONE = "wildcards.localhost"
ROUNDS = 25
WARM_UP = 5
ROUNDS_OF_LEGO = 3

#: The variables of both clients.
KEYS = {"RFC2136_TSIG_KEY": KEY.name, "RFC2136_TSIG_SECRET": KEY.secret}


def measure(place: Path) -> list[Figure]:
    """
    Return the milliseconds of certworker and of lego.
    """
    own = {OWN_DOMAIN: [f"@ A {HERE}"]}
    with (
        Bind(place / "bind", (HERE, free_port()), {ZONE: [], **own}) as bind,
        _pebble(place / "ca", bind) as ca,
    ):
        by_certworker = 1000 * _certworker(place / "certworker", ca, bind)
        by_lego = 1000 * _lego(place / "lego", ca, bind)
    return [
        Figure(TITLE, "certworker", by_certworker, "ms", 150),
        Figure(TITLE, "lego", by_lego, "ms"),
    ]


def _address(bind: Bind) -> str:
    return "{}:{}".format(*bind.address)


@contextmanager
def _pebble(directory: Path, bind: Bind) -> Iterator[Pebble]:
    server = Pebble(directory, resolver=_address(bind))
    try:
        server.start()
        yield server
    finally:
        server.close()


def _certworker(place: Path, ca: Pebble, bind: Bind) -> float:
    address = _address(bind)
    with worker(
        place,
        directory_url=ca.directory_url,
        http_port=ca.http_port,
        slots=SLOTS_AT_PEBBLE,
        ca_bundle=ca.ca_bundle,
        resolver=address,
        more={"CERTWORKER_DNS01_PROVIDER": "rfc2136", "RFC2136_NAMESERVER": address, **KEYS},
    ) as running:
        progress(f"{TITLE}: {WARM_UP + ROUNDS} one by one")
        names = [f"*.certworker{number}.{ZONE}" for number in range(WARM_UP + ROUNDS)]
        return median([_issue(running, name) for name in names][WARM_UP:])


def _issue(running: Worker, name: str) -> float:
    began = time.perf_counter()
    running.request([name])
    running.wait_for([name])
    return time.perf_counter() - began


def _lego(place: Path, ca: Pebble, bind: Bind) -> float:
    # The first run registers the account.
    return median([_run_lego(number, place, ca, bind) for number in range(ROUNDS_OF_LEGO + 1)][1:])


def _run_lego(number: int, place: Path, ca: Pebble, bind: Bind) -> float:
    progress(f"{TITLE}: lego, {number} of {ROUNDS_OF_LEGO}")
    began = time.perf_counter()
    subprocess.run(
        [
            *("lego", "--accept-tos", "--email", "bench@bench.test", "--path", place),
            *("--server", ca.directory_url, "--dns", "rfc2136", "--dns.resolvers", _address(bind)),
            # lego queries name servers only at port 53.
            *("--dns.disable-cp", "--domains", f"*.lego{number}.{ZONE}", "run"),
        ],
        env=os.environ
        | {"LEGO_CA_CERTIFICATES": str(ca.ca_bundle), "RFC2136_NAMESERVER": _address(bind)}
        | KEYS
        | {"RFC2136_TSIG_ALGORITHM": f"{KEY.algorithm}."},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began
