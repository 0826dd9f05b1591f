"""
A real BIND 9 on the loopback interface, which the test run starts and stops.

::

    with Bind(directory, ("127.0.0.2", port), {"example.com": ["www A 192.0.2.1"]}) as primary:
        with Bind(other, ("127.0.0.3", port), ["example.com"], primary=primary.address) as secondary:
            ...
            secondary.catch_up("example.com")
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver
import dns.tsig
import dns.update
from dns.message import Message

from tests.servers.ports import free_port
from tests.servers.relay import Relay

HERE = "127.0.0.1"

#: The time limit of a start on a busy machine.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class TsigKey:
    """
    A key that signs updates (RFC 8945).
    """

    name: str = "certworker."
    #: The secret in Base64.
    secret: str = "Y2VydHdvcmtlciB0ZXN0cyBhbmQgbm90aGluZyBlbHNl"
    algorithm: str = "hmac-sha256"


#: The key that may change each open zone.
KEY = TsigKey()
#: The server has this key, but no zone accepts changes with it.
POWERLESS = TsigKey("powerless.", "cG93ZXJsZXNzIGtleSBvZiB0aGUgdGVzdHMgb25seSEh")


class Bind:
    """
    An authoritative server. As a context manager it starts and stops.

    Args:
        address: The address at which it listens, over UDP and TCP.
        zones: The lines of each zone besides SOA and NS, in the format of zone files. A secondary
        needs only the names of the zones.
        keys: The keys of the server. Only the first key may change zones.
        closed: Zones that no key may change.
        servers: The targets of the NS records of each zone. The default is only this server.
        primary: The address of the primary. This server is then a secondary, which copies a zone only
        in :meth:`catch_up`.
    """

    def __init__(
        self,
        directory: Path,
        address: tuple[str, int],
        zones: Mapping[str, Sequence[str]] | Iterable[str],
        *,
        keys: Sequence[TsigKey] = (KEY, POWERLESS),
        closed: Collection[str] = (),
        servers: Sequence[str] = (),
        primary: tuple[str, int] | None = None,
    ) -> None:
        program = shutil.which("named")
        if program is None:
            raise RuntimeError("named is missing; install it: apt-get install bind9")
        directory.mkdir(exist_ok=True)
        self.address = address
        self.directory = directory
        #: BIND listens only at the addresses of network interfaces.
        self._own = address if address[0] == HERE else (HERE, free_port())
        self._relay: Relay | None = None
        #: The file with the output of the server.
        self.log = directory / "named.log"
        self.zones: tuple[str, ...] = tuple(zones)
        lines = zones if isinstance(zones, Mapping) else {}
        file = directory / "named.conf"
        parts = [self._options(), *(_key(key) for key in keys)]
        for zone in self.zones:
            if primary:
                parts.append(_secondary(zone, primary))
            else:
                self._write(zone, lines.get(zone, ()), servers)
                allowed = "none" if zone in closed else f'key "{keys[0].name}"'
                parts.append(_zone(zone, "type primary; notify no;", f"allow-update {{ {allowed}; }};"))
        file.write_text("\n".join(parts))
        self._command = [program, "-g", "-4", "-n", "1", "-c", str(file)]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """
        Start the server, and wait until it answers for all zones.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.directory, stdout=log, stderr=subprocess.STDOUT
            )
        if self._own != self.address:
            self._relay = Relay(self.address, self._own)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(map(self._answers_for, self.zones)):
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.kill()
                raise RuntimeError(f"named does not answer:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """
        Kill the server, as after a crash.
        """
        if self._relay is not None:
            self._relay.stop()
            self._relay = None
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

    def thaw(self) -> None:
        """
        Continue the stopped process.
        """
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def txt(self, name: str) -> set[str]:
        """
        Return the values of the TXT records at *name*.
        """
        return {
            b"".join(record.strings).decode()
            for records in self.ask(name, "TXT").answer
            if records.rdtype == dns.rdatatype.TXT
            for record in records
        }

    def add(self, zone: str, owner: str, kind: str, value: str, ttl: int = 300) -> None:
        """
        Add a record as the operator of *zone* does. *owner* is relative to *zone*.
        """
        key = dns.tsig.Key(KEY.name, KEY.secret, KEY.algorithm)
        update = dns.update.UpdateMessage(zone, keyring=key)
        update.add(owner, ttl, kind, value)
        host, port = self.address
        answer = dns.query.tcp(update, host, port=port, timeout=PATIENCE_SECONDS)
        assert answer.rcode() == dns.rcode.NOERROR, dns.rcode.to_text(answer.rcode())

    def catch_up(self, zone: str) -> None:
        """
        Start the copy of *zone* from the primary, and return immediately.
        """
        notice = dns.message.make_query(zone, "SOA")
        notice.set_opcode(dns.opcode.NOTIFY)
        notice.flags = dns.flags.AA | dns.opcode.to_flags(dns.opcode.NOTIFY)
        host, port = self.address
        dns.query.udp(notice, host, port=port, timeout=PATIENCE_SECONDS)

    def ask(self, name: str, kind: str) -> Message:
        """
        Return the unchanged answer of this server.
        """
        host, port = self.address
        return dns.query.tcp(dns.message.make_query(name, kind), host, port=port, timeout=PATIENCE_SECONDS)

    def _answers_for(self, zone: str) -> bool:
        host, port = self.address
        try:
            answer = dns.query.udp(dns.message.make_query(zone, "SOA"), host, port=port, timeout=0.2)
        except (dns.exception.Timeout, OSError):
            return False
        return bool(answer.answer and answer.flags & dns.flags.AA)

    def _write(self, zone: str, lines: Sequence[str], servers: Sequence[str]) -> None:
        names = [f"{name.removesuffix('.')}." for name in servers] or [f"ns1.{zone}."]
        soa = f"@ SOA {names[0]} hostmaster.{zone}. 1 3600 600 86400 60"
        glue = [] if servers else [f"ns1 A {self.address[0]}"]
        content = ["$TTL 60", f"$ORIGIN {zone}.", soa, *(f"@ NS {name}" for name in names), *glue, *lines]
        (self.directory / f"{zone}.zone").write_text("\n".join([*content, ""]))

    def _options(self) -> str:
        host, port = self._own
        return f"""
            controls {{ }};
            options {{
                directory "{self.directory}";
                pid-file none;
                session-keyfile "{self.directory}/session.key";
                listen-on port {port} {{ {host}; }};
                recursion no;
                dnssec-validation no;
                empty-zones-enable no;
                max-cache-size 2m;
                allow-transfer {{ any; }};
                allow-notify {{ any; }};
            }};
        """


def _key(key: TsigKey) -> str:
    return f'key "{key.name}" {{ algorithm {key.algorithm}; secret "{key.secret}"; }};'


def _secondary(zone: str, primary: tuple[str, int]) -> str:
    host, port = primary
    return _zone(zone, f"type secondary; notify no; primaries port {port} {{ {host}; }};")


def _zone(zone: str, *lines: str) -> str:
    return f'zone "{zone}" {{ file "{zone}.zone"; {" ".join(lines)} }};'
