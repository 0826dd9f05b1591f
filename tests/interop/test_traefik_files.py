"""
A real Traefik whose file provider reads what certworker writes: a file for each name, or shards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from redis import Redis

from certworker.app import App
from certworker.settings import HttpAddress
from certworker.storage import durable
from certworker.storage.concurrent_sync import sync
from certworker.traefik import shard_change
from certworker.traefik.batching import STAGED
from certworker.traefik.layout import LayoutChoice
from certworker.traefik.shards import shards_in
from certworker.traefik.tls_probe import leaf_of, served_certificate
from tests.app_fixture import open_app
from tests.interop.authorities import program
from tests.interop.proxies import running, wait_for
from tests.servers.ports import free_port
from tests.servers.worker import wait_until
from tests.storage.authority import Signer
from tests.storage.stored import store

NAMES = [f"shop{number}.example.com" for number in range(16)]
LATER = {"sharded": "new.example.com", "per-name": "another.example.com"}
UNKNOWN = "unknown.example.com"

#: Traefik applies each state of the directory that it reads. A longer pause could hide a state.
CONFIGURATION = """
log: {{level: INFO}}
entryPoints:
  websecure:
    address: 127.0.0.1:{port}
    http: {{tls: {{}}}}
providers:
  providersThrottleDuration: 1ms
  file: {{directory: {directory}, watch: true}}
"""

#: A file of the user. When Traefik serves its certificate, it has read the directory.
DEFAULT = """
tls:
  stores:
    default:
      defaultCertificate: {{certFile: {chain}, keyFile: {key}}}
"""


class Site:
    """
    A Traefik with the directory of an app, and a client that visits all published names in turn.
    """

    def __init__(self, directory: Path, connection: Redis) -> None:
        self.directory = directory
        self.watched = directory / "config"
        self.port = free_port()
        self.log = directory / "proxy.log"
        #: What the client must not get: the default certificate, an earlier one, or that of another name.
        self.wrong = list[str]()
        #: The number of states of the directory in which the client has visited all names.
        self.states = 0
        self._connection = connection
        self._signer = Signer()
        self._count = 0
        #: The certificates that the client may get, by name.
        self._allowed = dict[str, frozenset[bytes]]()
        self._visits = Counter[str]()
        self._is_stopping = Event()

    @contextmanager
    def running(self) -> Iterator[None]:
        """
        Run Traefik and the client.
        """
        self.watched.mkdir()
        file = self.directory / "traefik.yml"
        file.write_text(CONFIGURATION.format(port=self.port, directory=self.watched))
        with running([program("traefik"), f"--configFile={file}"], self.directory):
            client = Thread(target=self._visit_all)
            client.start()
            try:
                yield
            finally:
                self._is_stopping.set()
                client.join()

    @contextmanager
    def app(self, layout: LayoutChoice) -> Iterator[App]:
        """
        Open an app with this setting of the layout.
        """
        setting = {"CERTWORKER_TRAEFIK_LAYOUT": layout}
        url = "http://127.0.0.1:9/directory"
        with open_app(self.directory, self._connection, url, free_port(), variables=setting) as app:
            yield app

    def issue(self, app: App, name: str) -> None:
        """
        Put a new certificate for *name* into service, and wait until a client gets it.
        """
        self._count += 1
        stored = store(app.certificates, self._signer.certificate(name), token=self._count)
        leaf = leaf_of(stored.certificate.cert_pem)
        if name in self._allowed:
            self._allowed[name] |= {leaf}
        app.traefik.publish(stored)
        wait_for(name, self.port, leaf, self.log)
        self._allowed[name] = frozenset([leaf])

    def wait_for_visits(self) -> None:
        """
        Wait until Traefik has read the directory, and the client has visited each name after that.
        """
        wait_for(UNKNOWN, self.port, self._change_default(), self.log)
        before = self._visits.copy()

        def has_visited_all() -> bool | None:
            # The first of two handshakes may have begun before.
            return all(self._visits[name] >= before[name] + 2 for name in list(self._allowed)) or None

        wait_until(has_visited_all, self.log.read_text)

    def watch_each_state(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        From now on, let the client visit all names in each state of the directory between two syncs.
        """
        seen = self.files()

        def sync_and_visit(opened: Iterable[int]) -> None:
            nonlocal seen
            sync(opened)
            if seen != self.files():
                seen = self.files()
                self.wait_for_visits()
                self.states += 1

        monkeypatch.setattr(durable, "sync", sync_and_visit)

    def files(self) -> tuple[set[str], set[str]]:
        """
        Return the names with files of their own, and the shards.
        """
        files = {file.name for file in self.watched.glob("*.yml")} - {"default.yml"}
        return {file.removesuffix(".yml") for file in files if not shards_in([file])}, shards_in(files)

    def _change_default(self) -> bytes:
        self._count += 1
        certificate = self._signer.certificate("default.example.com")
        chain, key = (self.directory / f"default-{self._count}.{kind}" for kind in ("pem", "key"))
        chain.write_bytes(certificate.fullchain_pem)
        key.write_bytes(certificate.key.pem)
        new = self.directory / "default.yml"
        new.write_text(DEFAULT.format(chain=chain, key=key))
        new.replace(self.watched / new.name)
        return leaf_of(certificate.cert_pem)

    def _visit_all(self) -> None:
        while not self._is_stopping.wait(0.001):
            for name in list(self._allowed):
                before = self._allowed[name]
                try:
                    shown = served_certificate(name, HttpAddress("127.0.0.1", self.port))
                except OSError as error:
                    self.wrong.append(f"{name}: {error}")
                    continue
                if shown not in before | self._allowed[name]:
                    self.wrong.append(f"{name}: {shown!r}")
                self._visits[name] += 1


@pytest.fixture
def site(tmp_path: Path, connection: Redis, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """
    Start Traefik with an empty directory. A shard has at most four names.
    """
    monkeypatch.setattr(shard_change, "LARGEST_SHARD", 4)
    site = Site(tmp_path, connection)
    with site.running():
        yield site


def test_all_names_are_served_while_shards_are_split(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In shards, Traefik serves new names and renewals. Meanwhile, all other names have their certificates.
    """
    with site.app("sharded") as app:
        for name in NAMES[:-4]:
            site.issue(app, name)
        site.watch_each_state(monkeypatch)
        for name in [*NAMES[-4:], NAMES[0], NAMES[-1]]:
            site.issue(app, name)
        site.wait_for_visits()

    names, shards = site.files()
    assert not names
    assert len(shards) >= len(NAMES) / 4
    assert site.states
    assert [] == site.wrong


def test_all_names_are_served_while_the_layout_changes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    From files to shards and back, no client gets the default certificate or another wrong one.
    """
    with site.app("per-name") as app:
        for name in NAMES:
            site.issue(app, name)
    site.watch_each_state(monkeypatch)
    changes: tuple[LayoutChoice, ...] = ("sharded", "per-name")
    for layout in changes:
        before = site.states
        with site.app(layout) as app:
            app.repair.repair()
            assert site.states > before + 2
            site.issue(app, LATER[layout])
            site.issue(app, NAMES[0])
            site.wait_for_visits()

        names, shards = site.files()
        assert (layout == "per-name") == bool(names) != bool(shards)
        assert [] == site.wrong

    assert {*NAMES, *LATER.values()} == names


def test_a_change_that_a_power_cut_damaged_does_not_stop_traefik(site: Site) -> None:
    """
    Traefik reads subdirectories, but not the damaged file of a waiting change. It serves later certificates.
    """
    with site.app("per-name") as app:
        site.issue(app, NAMES[0])
        waiting = site.watched / ".certworker" / "0123456789abcdef.tmp"
        waiting.mkdir()
        (waiting / f"{NAMES[1]}{STAGED}").write_bytes(bytes(200))
        site.issue(app, NAMES[0])
        site.issue(app, NAMES[1])

    assert [] == site.wrong
