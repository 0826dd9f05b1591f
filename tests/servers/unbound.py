"""
A real unbound on the loopback interface, which the test run starts and stops.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import dns.exception
import dns.message
import dns.query

#: The time limit of a start on a busy machine.
PATIENCE_SECONDS = 20.0

ALWAYS = (
    *('chroot: ""', 'username: ""', 'pidfile: ""', "use-syslog: no", "do-daemonize: no"),
    *("do-ip6: no", "do-not-query-localhost: no"),
)


class Unbound:
    """
    A resolver. As a context manager it starts and stops.

    Args:
        address: The address at which it listens.
        options: Lines of the section `server:` of its configuration (unbound.conf(5)).
        stubs: The server of each zone, as ADDRESS@PORT.
    """

    def __init__(
        self,
        directory: Path,
        address: tuple[str, int],
        options: Sequence[str],
        stubs: Mapping[str, str] | None = None,
    ) -> None:
        program = shutil.which("unbound")
        if program is None:
            raise RuntimeError("unbound is missing; install it: apt-get install unbound")
        self.address = address
        file = directory / "unbound.conf"
        listens = "interface: {}@{}".format(*address)
        lines = ["server:", listens, f'directory: "{directory}"', *ALWAYS, *options]
        for zone, server in (stubs or {}).items():
            lines += ["stub-zone:", f"name: {zone}", f"stub-addr: {server}"]
        file.write_text("\n".join([*lines, "remote-control:", "control-enable: no", ""]))
        self._command = [program, "-d", "-c", str(file)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        host, port = self.address
        # unbound answers this question without a query.
        question = dns.message.make_query("localhost.", "A")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                dns.query.udp(question, host, port=port, timeout=0.2)
            except (dns.exception.Timeout, OSError):
                if time.monotonic() > deadline or self._process.poll() is not None:
                    self.__exit__()
                    raise
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
