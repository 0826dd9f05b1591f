"""
A real PowerDNS with its HTTP API on the loopback interface, which the test run starts and stops.
"""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import dns.message
import dns.query
import dns.rdatatype

from tests.servers.ports import free_port

HERE = "127.0.0.1"
SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")

#: The key of the API. It is a secret, and a test asserts that no log contains it.
API_KEY = "pdns-api-key-of-the-tests"

#: The time limit of a start on a busy machine.
PATIENCE_SECONDS = 20.0

OPTIONS = (
    *("daemon=no", "guardian=no", "launch=gsqlite3", "api=yes", "webserver=yes", "webserver-loglevel=normal"),
    *("zone-cache-refresh-interval=0", "cache-ttl=0", "query-cache-ttl=0", "negquery-cache-ttl=0"),
    *("receiver-threads=1", "distributor-threads=1", "security-poll-suffix="),
)


class PowerDns:
    """
    An authoritative server. As a context manager it starts and stops.

    Args:
        zones: The zones at the start.
        address: The address at which it listens, over UDP and TCP.
    """

    def __init__(
        self, directory: Path, zones: Iterable[str] = (), address: tuple[str, int] | None = None
    ) -> None:
        program = shutil.which("pdns_server")
        if program is None or not SCHEMA.exists():
            raise RuntimeError(
                "PowerDNS is missing; install it: apt-get install pdns-server pdns-backend-sqlite3"
            )
        directory.mkdir(exist_ok=True)
        self.address = address or (HERE, free_port())
        self.api_port = free_port()
        self.zones = tuple(zones)
        #: The file with the output of the server.
        self.log = directory / "pdns.log"
        database = directory / "pdns.sqlite3"
        with sqlite3.connect(database) as connection:
            connection.executescript(SCHEMA.read_text())
        host, port = self.address
        places = (
            *(f"config-dir={directory}", f"socket-dir={directory}", f"gsqlite3-database={database}"),
            *(f"local-address={host}", f"local-port={port}"),
            *(f"webserver-address={HERE}", f"webserver-port={self.api_port}", f"api-key={API_KEY}"),
        )
        self._command = [program, *(f"--{option}" for option in (*OPTIONS, *places))]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api(self) -> str:
        """
        The URL of the API.
        """
        return f"http://{HERE}:{self.api_port}"

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.call("GET", "/zones")
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.kill()
                    wrote = self.log.read_text(errors="replace")[-4000:]
                    raise RuntimeError(f"pdns_server does not answer:\n{wrote}") from None
                time.sleep(0.02)
            else:
                break
        for zone in self.zones:
            self.call(
                "POST",
                "/zones",
                {"name": f"{zone}.", "kind": "Native", "nameservers": [f"ns1.{zone}."]},
            )
            self._set(zone, f"ns1.{zone}", "A", [self.address[0]])
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """
        Kill the server, as after a crash.
        """
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """
        Stop the process, so that it does not answer. The kernel still accepts connections for it.
        """
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def txt(self, name: str) -> set[str]:
        """
        Return the values of the TXT records at *name* from the DNS server.
        """
        host, port = self.address
        answer = dns.query.tcp(dns.message.make_query(name, "TXT"), host, port=port, timeout=PATIENCE_SECONDS)
        return {
            b"".join(record.strings).decode()
            for records in answer.answer
            if records.rdtype == dns.rdatatype.TXT
            for record in records
        }

    def set_txt(self, zone: str, name: str, *values: str) -> None:
        """
        Replace the TXT records at *name*, as the operator of *zone* does.
        """
        self._set(zone, name, "TXT", [f'"{value}"' for value in values])

    def _set(self, zone: str, name: str, kind: str, values: Sequence[str]) -> None:
        rows = {
            "name": f"{name}.",
            "type": kind,
            "ttl": 300,
            "changetype": "REPLACE",
            "records": [{"content": value, "disabled": False} for value in values],
        }
        self.call("PATCH", f"/zones/{zone}.", {"rrsets": [rows]})

    def call(self, method: str, path: str, content: Any = None) -> Any:
        """
        Send a request with the key to the API, and return the JSON of the response.
        """
        connection = http.client.HTTPConnection(HERE, self.api_port, timeout=PATIENCE_SECONDS)
        try:
            connection.request(
                method,
                f"/api/v1/servers/localhost{path}",
                json.dumps(content) if content is not None else None,
                {"X-API-Key": API_KEY, "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status < 300, (answer.status, text)
            return json.loads(text) if text else None
        finally:
            connection.close()
