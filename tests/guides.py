"""
The settings, commands and files of the guides to wildcards and DNS providers, in a directory of a test.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.app_fixture import environment
from tests.documentation import DOCS
from tests.recording import steady
from tests.servers.bind import HERE, Bind
from tests.servers.development import development_authority
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess
from tests.shell_examples import run_shell

WILDCARDS = DOCS / "guides" / "wildcards.md"
PROVIDERS = DOCS / "guides" / "dns-providers.md"

BLOCK = re.compile(r"^```([^\n]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SETTING = re.compile(r"[A-Z0-9_]+=.*")

ZONE = "example.com"
CHALLENGES = "acme.example.com"
CUSTOMER = "customer.net"
ACME_DNS = "auth.example.net"
#: A CA queries CAA records up to the top-level domain.
TOP_LEVEL: dict[str, list[str]] = {"com": [], "net": []}


@dataclass(frozen=True)
class Section:
    """
    The code blocks below one heading of a page.
    """

    blocks: tuple[tuple[str, str], ...]

    def __getitem__(self, language: str) -> list[str]:
        """
        Return the blocks in *language*.
        """
        return [text for found, text in self.blocks if found == language]

    @property
    def settings(self) -> list[str]:
        """
        Return the blocks of settings.
        """
        return [block for block in self["sh"] if SETTING.match(block)]

    @property
    def commands(self) -> list[str]:
        """
        Return the blocks of commands.
        """
        return [block for block in self["sh"] if not SETTING.match(block)]


def sections(page: Path) -> dict[str, Section]:
    """
    Return the sections of *page* by their headings.
    """
    _, *parts = re.split(r"^## (.+)$", page.read_text(), flags=re.MULTILINE)
    return {
        title: Section(tuple(BLOCK.findall(body)))
        for title, body in zip(parts[::2], parts[1::2], strict=True)
    }


@dataclass
class Machine:
    """
    The machine of a reader, in the directory *root*.

    Attributes:
        places: The path on this machine by the path on a page.
    """

    root: Path
    redis: RedisServer
    places: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in ("/run/secrets", "/etc/bind", "/usr/local/bin", "/storage/state"):
            directory = self.root / path.strip("/")
            directory.mkdir(parents=True)
            self.places[path] = str(directory)

    def path(self, name: str) -> Path:
        """
        Return the path on this machine of the file that a page names.
        """
        return Path(self.local(name))

    def local(self, text: str) -> str:
        """
        Return *text* of a page with the paths of this machine.
        """
        for name in sorted(self.places, key=len, reverse=True):
            text = text.replace(name, self.places[name])
        return text

    def settings(self, *blocks: str) -> dict[str, str]:
        """
        Return the variables of *blocks*. The last value of a variable applies.
        """
        lines = [line for block in blocks for line in self.local(block).splitlines()]
        return dict(line.split("=", 1) for line in lines)

    @contextmanager
    def ready(self, settings: Mapping[str, str], dns_server: tuple[str, int]) -> Iterator[WorkerProcess]:
        """
        Yield a worker with *settings* that is not started. Its CA queries *dns_server*.
        """
        http_port = free_port()
        with (
            self.redis.client() as connection,
            development_authority(
                self.root, http01_port=http_port, dns_server=dns_server, resolve=lambda _: HERE
            ) as authority,
        ):
            connection.flushall()
            worker = WorkerProcess(
                environment(
                    self.root,
                    authority.directory_url,
                    http_port,
                    _APP_REDIS_HOST=HERE,
                    _APP_REDIS_PORT=str(self.redis.port),
                    _APP_DNS="{}:{}".format(*dns_server),
                    **settings,
                ),
                self.root / "log",
            )
            try:
                yield worker
            finally:
                worker.kill()

    def run(
        self, worker: WorkerProcess, commands: str, outputs: Sequence[str] = (), exit_code: int = 0
    ) -> str:
        """
        Run *commands* of a page with the settings of *worker*. Assert that they print the lines of *outputs*.
        """
        printed = run_shell(self.local(commands), self.root, worker.environment, exit_code)
        printed = printed.replace(str(self.root), "/storage")
        assert steady("\n".join(outputs)) <= steady(printed)
        return printed


@contextmanager
def name_server(machine: Machine) -> Iterator[Bind]:
    """
    Start a BIND with the key and the zone of the page, a challenge zone, and the zone of a customer.
    """
    section = sections(PROVIDERS)["rfc2136"]
    [generate], [statements] = section.commands, section["text named.conf"]
    zones = {
        ZONE: ["@ A 127.0.0.1", "www A 127.0.0.1", "acme NS ns1.acme", "ns1.acme A 127.0.0.1"],
        CHALLENGES: [],
        CUSTOMER: [],
        **TOP_LEVEL,
    }
    address = HERE, free_port()
    server = Bind(machine.root / "bind", address, zones, keys=(), closed=zones)
    machine.places |= {
        "ns1.example.com:53": "{}:{}".format(*address),
        "ns1.example.com": "{}:{}".format(*address),
        "/var/lib/bind": str(server.directory),
    }
    secret(machine, "tsig", run_shell(machine.local(generate), machine.root, os.environ).strip())
    include, zone = machine.local(statements).split("\n", 1)
    challenges = zone.replace(ZONE, CHALLENGES)
    file = server.directory / "named.conf"
    lines = [line for line in file.read_text().splitlines() if f'{ZONE}" {{' not in line]
    file.write_text("\n".join([*lines, include, zone, challenges]))
    with server:
        yield server


def start(worker: WorkerProcess) -> None:
    """
    Start *worker*, and wait until it accepts jobs.
    """
    worker.start()
    worker.wait_for_line(" ready · ")


@contextmanager
def zone_of_the_tests(machine: Machine) -> Iterator[Bind]:
    """
    Start a BIND with the zone of the pages and the zone of acme-dns. Only the tests may change them.
    """
    zones = {ZONE: [], ACME_DNS: [], **TOP_LEVEL}
    with Bind(machine.root / "bind", (HERE, free_port()), zones) as server:
        yield server


def secret(machine: Machine, name: str, value: str) -> None:
    """
    Write *value* to the secret file *name*.
    """
    machine.path(f"/run/secrets/{name}").write_text(f"{value}\n")


def script(machine: Machine, name: str, text: str) -> None:
    """
    Write the executable program *name*.
    """
    path = machine.path(f"/usr/local/bin/{name}")
    path.write_text(text)
    path.chmod(0o755)
