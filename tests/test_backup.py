"""
Backup and restore of the three directories with the commands of docs/guides/backup-restore.md.
"""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from certworker.acme.account import AccountFiles
from certworker.app import App
from certworker.storage.metadata import PEM_FILES, CertificateMetadata
from tests.app_fixture import open_app
from tests.servers.faulty_authority import FaultyAuthority

GUIDE = (Path(__file__).parents[1] / "docs" / "guides" / "backup-restore.md").read_text()
DIRECTORIES = ("certificates", "config", "state")
NAMES = ("shop.localhost", "www.shop.localhost", "blog.localhost")

#: The guide runs tar in the worker's container.
IN_THE_CONTAINER = "docker compose run --rm --no-deps -T --entrypoint tar appwrite-worker-certificates"


def type_in(what: str, place: Path) -> None:
    """
    Run the tar command of the block *what* in the guide, with *place* for /storage.
    """
    block = re.search(rf"^```sh {what}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    assert block
    (line,) = (each for each in block[1].replace("\\\n ", "").splitlines() if IN_THE_CONTAINER in each)
    command = line.replace(IN_THE_CONTAINER, "tar").replace("-C /storage", f"-C {place}")
    subprocess.run(["sh", "-c", command], cwd=place, check=True)


def account(app: App, authority: FaultyAuthority) -> str | None:
    """
    Return the URL of the account in the state directory.
    """
    label = app.settings.authority.label
    files = AccountFiles(app.settings.state_dir / "accounts" / label, authority.directory_url)
    found = files.read()
    return found.url if found else None


def asked(authority: FaultyAuthority, kind: str) -> int:
    """
    Return the number of requests of *kind* that the CA received.
    """
    return sum(each.kind == kind for each in authority.requests)


def modes(place: Path) -> dict[str, tuple[int, str]]:
    """
    Return the permissions of each file and the target of each link.
    """
    found = (path for directory in DIRECTORIES for path in (place / directory).rglob("*"))
    return {
        str(path.relative_to(place)): (
            path.lstat().st_mode,
            str(path.readlink()) if path.is_symlink() else "",
        )
        for path in found
    }


@dataclass(frozen=True)
class Before:
    """
    The state at the time of the backup.
    """

    metadata: list[CertificateMetadata | None]
    on_the_agenda: set[str]
    account: str | None
    modes: dict[str, tuple[int, str]]
    orders: int
    accounts: int


@pytest.fixture
def before(tmp_path: Path, connection: Redis, app_authority: FaultyAuthority, http_port: int) -> Before:
    """
    Issue two certificates, back them up, and delete the directories and Redis. Return the state at the
    backup.
    """
    with open_app(tmp_path, connection, app_authority.directory_url, http_port) as app:
        app.issuance.issue(NAMES[:2])
        app.issuance.issue(NAMES[2:])
        there = Before(
            [app.certificates.metadata(name) for name in NAMES],
            set(app.agenda.names()),
            account(app, app_authority),
            modes(tmp_path),
            asked(app_authority, "newOrder"),
            asked(app_authority, "newAccount"),
        )
    type_in("backup", tmp_path)
    for directory in DIRECTORIES:
        shutil.rmtree(tmp_path / directory)
        (tmp_path / directory).mkdir()
    connection.flushall()
    return there


@pytest.fixture
def restored(
    before: Before,
    tmp_path: Path,
    connection: Redis,
    app_authority: FaultyAuthority,
    http_port: int,
) -> Iterator[App]:
    """
    Yield the app after the restore and the first pass of its worker.
    """
    type_in("restore", tmp_path)
    with open_app(tmp_path, connection, app_authority.directory_url, http_port) as app:
        app.reconciler.reconcile()
        yield app


class TestRestore:
    def test_a_restore_is_complete_and_orders_nothing(
        self, before: Before, restored: App, tmp_path: Path, app_authority: FaultyAuthority
    ) -> None:
        """
        A restore brings back files, certificates and agenda, and places no order.
        """
        assert before.modes.items() <= modes(tmp_path).items()
        assert before.metadata == [restored.certificates.metadata(name) for name in NAMES]
        assert before.on_the_agenda == set(restored.agenda.names()) == set(NAMES)
        assert all(moment and moment > restored.clock() for moment in map(restored.agenda.next_check, NAMES))
        assert ["kept", "kept"] == [restored.issuance.issue(names).state for names in (NAMES[:2], NAMES[2:])]
        assert before.orders == asked(app_authority, "newOrder")

    def test_traefik_and_all_other_readers_find_complete_pairs(self, restored: App) -> None:
        """
        The paths in Traefik's files and the links that Appwrite uses lead to complete pairs.
        """
        for name in NAMES:
            files, links = restored.traefik.files(name), restored.certificates.directory / name

            assert files
            assert all((links / file).is_symlink() for file in PEM_FILES)
            for chain, key in (files, (links / "fullchain.pem", links / "privkey.pem")):
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
                assert key.stat().st_mode & 0o077 == 0

    def test_the_restored_worker_uses_the_same_account(
        self, before: Before, restored: App, app_authority: FaultyAuthority
    ) -> None:
        """
        An order after the restore uses the same account, and registers no other.
        """
        assert "issued" == restored.issuance.issue(NAMES[:2], force=True).state
        assert before.account == account(restored, app_authority)
        assert before.accounts == asked(app_authority, "newAccount")

    def test_without_the_state_a_new_account_continues_with_the_certificates(
        self,
        before: Before,
        tmp_path: Path,
        connection: Redis,
        app_authority: FaultyAuthority,
        http_port: int,
    ) -> None:
        """
        Without the state directory, certworker registers a new account and uses the restored certificates.
        """
        type_in("restore", tmp_path)
        shutil.rmtree(tmp_path / "state")
        with open_app(tmp_path, connection, app_authority.directory_url, http_port) as app:
            assert "kept" == app.issuance.issue(NAMES[:2]).state
            assert "issued" == app.issuance.issue(NAMES[:2], force=True).state
            assert account(app, app_authority) not in (None, before.account)
