"""
The preflight checks before an order, and the doctor.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from bench.figures import Figure, progress
from bench.worlds import environment, redis_server, worker
from tests.app_fixture import open_app
from tests.servers.development import development_authority
from tests.servers.ports import free_port
from tests.servers.unbound import Unbound

TITLE = "the checks"
NOTE = (
    "the checks: the time that all checks add to a warm job for a new name, median of 50. An unbound on this "
    "machine is the resolver and the name server of the domain. The checks fetch each response from port 80 "
    "of the worker. doctor: from start to exit, for a healthy machine and a healthy name, median of five."
)

DOMAIN = "bench.org"
ROUNDS = 50
WARM_UP = 10
ROUNDS_OF_DOCTOR = 5

#: The address of the name server, which differs from that of the HTTP server.
SERVER = "127.0.0.53"


def measure(place: Path) -> list[Figure]:
    """
    Return the milliseconds of the checks and the seconds of the doctor.
    """
    dns = SERVER, free_port()
    with Unbound(place, dns, _zone([_name(number) for number in range(WARM_UP + ROUNDS)])):
        progress(f"{TITLE}: of {WARM_UP + ROUNDS} names")
        checks = _of_a_job(place / "job", dns)
        progress(f"{TITLE}: certworker doctor")
        doctor = _of_the_doctor(place / "doctor", dns)
    return [
        Figure(TITLE, "all checks of a warm job", 1000 * checks, "ms", 15),
        Figure(TITLE, "certworker doctor NAME", doctor, "s", 3),
    ]


def _of_a_job(place: Path, dns: tuple[str, int]) -> float:
    place.mkdir()
    port, took = free_port(), []
    with (
        redis_server(place / "redis") as redis,
        redis.client() as connection,
        development_authority(place, http01_port=port, resolve=_here) as ca,
        open_app(place, connection, ca.directory_url, port, _APP_DNS="{}:{}".format(*dns)) as app,
    ):
        for number in range(WARM_UP + ROUNDS):
            began = time.perf_counter()
            app.preflight([_name(number)])
            took.append(time.perf_counter() - began)
    return median(took[WARM_UP:])


def _of_the_doctor(place: Path, dns: tuple[str, int]) -> float:
    port, took, name = free_port(), [], _name(0)
    certworker = str(Path(sys.executable).with_name("certworker"))
    place.mkdir()
    with (
        development_authority(place, http01_port=port, resolve=_here) as ca,
        worker(
            place,
            directory_url=ca.directory_url,
            http_port=port,
            slots=4,
            resolver="{}:{}".format(*dns),
        ) as started,
    ):
        started.request([name])
        started.wait_for([name])
        for _ in range(ROUNDS_OF_DOCTOR):
            began = time.perf_counter()
            subprocess.run(
                [certworker, "doctor", name],
                env=environment({**started.variables, "CERTWORKER_PROXY_ADDRESS": "off"}),
                check=True,
                stdout=subprocess.DEVNULL,
            )
            took.append(time.perf_counter() - began)
    return median(took)


def _zone(names: list[str]) -> list[str]:
    head = f"ns.{DOMAIN}"
    records = [
        f"{DOMAIN}. SOA {head}. hostmaster.{DOMAIN}. 1 3600 600 86400 60",
        f"{DOMAIN}. NS {head}.",
        f"{head}. A {SERVER}",
        *(f"{name}. A 127.0.0.1" for name in names),
    ]
    # Only the Internet has the zones above it, so this server serves one, too.
    above = DOMAIN.partition(".")[2]
    return [f'local-zone: "{zone}." static' for zone in (DOMAIN, above)] + [
        f'local-data: "{record}"' for record in records
    ]


def _name(number: int) -> str:
    return f"name{number}.{DOMAIN}"


def _here(_name: str) -> str:
    return "127.0.0.1"
