"""
A Caddy that obtains the certificate of a name in the first TLS handshake for it (on-demand TLS).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.processes import wait_for
from bench.programs import program
from bench.worlds import stop
from tests.servers.pebble import Pebble
from tests.servers.ports import free_port
from tests.servers.web import WebServer

INSTALL = "make bench builds it with Go: https://go.dev/dl/"


@contextmanager
def caddy(directory: Path, ca: Pebble) -> Iterator[int]:
    """
    Start a Caddy with its files in *directory* that orders from *ca*. Yield its port for HTTPS.

    Raises:
        Skipped: There is no Caddy.
    """
    command = program("caddy", INSTALL)
    directory.mkdir(parents=True)
    port = free_port()
    # Caddy asks this server whether it may order a certificate.
    with (
        WebServer(lambda _path, _connection: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as permission,
        (directory / "caddy.log").open("wb") as log,
    ):
        file = directory / "Caddyfile"
        file.write_text(
            f"""
{{
    admin off
    default_bind 127.0.0.1
    http_port {ca.http_port}
    https_port {port}
    storage file_system {directory / "storage"}
    acme_ca {ca.directory_url}
    acme_ca_root {ca.ca_bundle}
    email bench@bench.test
    skip_install_trust
    on_demand_tls {{
        ask http://127.0.0.1:{permission.port}/
    }}
}}
https:// {{
    tls {{
        on_demand
    }}
}}
"""
        )
        process = subprocess.Popen(
            [command, "run", "--adapter", "caddyfile", "--config", file],
            cwd=directory,
            env=os.environ | {"HOME": str(directory)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(port, process, directory / "caddy.log")
            yield port
        finally:
            stop(process)
