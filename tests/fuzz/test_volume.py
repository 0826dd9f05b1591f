"""
Volume: other programs write to it, backups restore parts of it, and disks change bits.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.acme.account import AccountFiles
from certworker.acme.order_keys import OrderKeys
from certworker.app import App
from certworker.dns.resolver import system_name_servers
from certworker.errors import CertworkerError
from certworker.errors.acct import AccountKeyUnreadable
from certworker.errors.config import InvalidSettings
from certworker.errors.fs import VolumeFault, VolumeReadOnly
from certworker.renewal.domain_status import list_status
from certworker.settings import load, variables
from certworker.settings.limits import grants_in
from tests.fuzz.strategies import as_bytes, documents, raw, texts
from tests.storage.authority import Signer
from tests.storage.stored import content, store

NAME, NEIGHBOR = "shop.localhost", "neighbor.localhost"
SIGNER = Signer()
OTHER = SIGNER.certificate(NAME, "other.localhost")

#: The metadata of a worker.
META = {
    "schema": 1,
    "names": [NAME],
    "not_before": "2026-11-01T00:00:00+00:00",
    "not_after": "2027-01-01T00:00:00+00:00",
    "serial": "01",
    "issuer": "A CA",
    "renewal_id": "a.b",
    "authority": "letsencrypt",
    "kind": "public",
    "generation": 1,
}
TRAEFIK = {"tls": {"certificates": [{"certFile": "/a/fullchain.pem", "keyFile": "/a/privkey.pem"}]}}

pems = st.sampled_from([OTHER.fullchain_pem, OTHER.cert_pem, OTHER.key.pem, b"", OTHER.fullchain_pem * 30])


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """
    Return a PEM file with some changed or missing bytes.
    """
    pem = bytearray(draw(pems))
    for _ in range(draw(st.integers(0, 3))):
        if pem:
            place = draw(st.integers(0, len(pem) - 1))
            pem[place : place + draw(st.integers(0, 40))] = draw(st.binary(max_size=4))
    return bytes(pem)


yaml = st.sampled_from(
    [
        b"tls: {certificates: [{certFile: 7}]}",
        b"a: 2026-99-99",
        b"&a [*a]",
        b"? [a]\n: b",
        b"!!python/none",
        b"{{",
    ]
)
contents = st.one_of(damaged(), documents(META), documents(TRAEFIK), yaml, raw)


@dataclass(frozen=True)
class Entry:
    """
    The content or the type of a file.
    """

    kind: str
    content: bytes

    def put(self, path: Path) -> None:
        """
        Replace the file or directory at *path* with this entry.
        """
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.kind == "file":
            path.write_bytes(self.content)
        elif self.kind == "directory":
            path.mkdir()
        elif self.kind == "pipe":
            os.mkfifo(path)
        elif self.kind != "nothing":
            path.symlink_to(self.kind)


links = [
    "../generations/../../..",
    "loop",
    ".",
    "/dev/zero",
    "/dev/null",
    "nowhere",
    "a" * 200,
    "../generations/000000000009-00000000",
]
kinds = st.sampled_from(["file"] * 8 + ["directory", "pipe", "nothing", *links])
entries = st.builds(Entry, kinds, contents)

#: The paths of the name. The test replaces GENERATION with the generation of the name.
PLACES = [
    *(
        f"certificates/.certworker/generations/GENERATION/{file}.pem"
        for file in ("fullchain", "privkey", "chain")
    ),
    "certificates/.certworker/generations/GENERATION/meta.json",
    "certificates/.certworker/generations/GENERATION",
    "certificates/.certworker/generations/other",
    "certificates/.certworker/generations/000000000009-0000000a/meta.json",
    "certificates/.certworker/unpublished/000000000009-0000000a",
    "certificates/.certworker/unpublished/other",
    "certificates/.certworker/highest",
    f"certificates/.certworker/live/{NAME}",
    "certificates/.certworker/live/-odd-",
    f"certificates/{NAME}",
    f"certificates/{NAME}/fullchain.pem",
    "certificates/foreign.localhost/fullchain.pem",
    "certificates/foreign.localhost/privkey.pem",
    "certificates/.NOTANAME/fullchain.pem",
    f"config/{NAME}.yml",
    "config/other.yml",
    "config/other.toml",
]


@pytest.fixture
def restored(app: App) -> Callable[[], tuple[App, str]]:
    """
    Return a function that restores the volume, and returns the generation of the name.
    """
    for token, name in enumerate((NAME, NEIGHBOR), start=1):
        app.traefik.publish(store(app.certificates, SIGNER.certificate(name), token))
    place = app.certificates.directory.parent
    for name in ("certificates", "config"):
        shutil.copytree(place / name, place / "kept" / name, symlinks=True)
    generation = app.certificates.links.generation(NAME)
    assert generation

    def restore() -> tuple[App, str]:
        for name in ("certificates", "config"):
            shutil.rmtree(place / name)
            shutil.copytree(place / "kept" / name, place / name, symlinks=True)
        app.connection.flushall()
        return app, generation.name

    return restore


@given(spoiled=st.dictionaries(st.sampled_from(PLACES), entries, min_size=1, max_size=4))
def test_volume(restored: Callable[[], tuple[App, str]], spoiled: dict[str, Entry]) -> None:
    """
    Each reader ends with a result or a documented failure, and the neighbor stays in service.
    """
    app, generation = restored()
    volume, traefik = app.certificates, app.traefik
    before = content(volume.current(NEIGHBOR))
    for place, entry in spoiled.items():
        # The parent may be a file of this test.
        with suppress(OSError):
            entry.put(volume.directory.parent / place.replace("GENERATION", generation))

    def prune() -> None:
        volume.prune(traefik.served_generations())

    steps: list[Callable[[], object]] = [
        lambda: volume.current(NAME),
        lambda: volume.metadata(NAME),
        lambda: volume.last_metadata(NAME),
        lambda: volume.adopt("foreign.localhost"),
        lambda: volume.adopt(NAME),
        lambda: list(volume.issued("letsencrypt")),
        volume.links.highest_token,
        volume.unpublished_sets,
        lambda: volume.unpublished((NAME,)),
        lambda: traefik.files(NAME),
        traefik.broken,
        traefik.dangling,
        prune,
        app.reconciler.reconcile,
        app.repair.repair,
        app.repair.resume_publications,
        app.due_names.enqueue,
    ]
    for step in steps:
        with suppress(CertworkerError):
            step()
    found = {each.name: each for each in list_status(app.agenda, app.records, volume, app.clock())}
    assert NEIGHBOR in found
    assert before == content(volume.current(NEIGHBOR))
    facts = volume.metadata(NEIGHBOR)
    assert facts
    assert traefik.serves(NEIGHBOR, facts)


ACCOUNT = {
    "schema": 1,
    "directory": "https://ca/directory",
    "url": "https://ca/account/1",
    "contact": "a@b.org",
}


@given(key=entries, account=st.builds(Entry, kinds, documents(ACCOUNT)), order=entries)
def test_keys(tmp_path_factory: pytest.TempPathFactory, key: Entry, account: Entry, order: Entry) -> None:
    """
    certworker reports an unreadable key. The URL of an account can be requested again.
    """
    place = tmp_path_factory.mktemp("keys")
    key.put(place / "accounts" / "key.pem")
    key.put(place / "accounts" / "key.next.pem")
    account.put(place / "accounts" / "account.json")
    files = AccountFiles(place / "accounts", "https://ca/directory")
    with suppress(AccountKeyUnreadable, VolumeFault, VolumeReadOnly):
        files.read()
    with suppress(AccountKeyUnreadable, VolumeFault, VolumeReadOnly):
        files.next_key()
    keys = OrderKeys(place / "orders", "ec256")
    order.put(keys._path("https://ca/order/1"))
    with suppress(CertworkerError):
        keys.find("https://ca/order/1")
    shutil.rmtree(place)


LIMITS = {
    "letsencrypt": {
        "orders_per_account": "300/3h",
        "domains": {"example.org": "3 of 5/60m"},
        "certificates_per_set": None,
    }
}


@given(
    limits=st.builds(Entry, kinds, documents(LIMITS)),
    resolvers=st.builds(Entry, kinds, raw | texts.map(as_bytes)),
)
def test_files_of_an_operator(
    tmp_path_factory: pytest.TempPathFactory, limits: Entry, resolvers: Entry
) -> None:
    """
    certworker accepts or rejects the file of the limits, and finds the resolvers of the machine or none.
    """
    place = tmp_path_factory.mktemp("operator")
    limits.put(place / "limits.json")
    resolvers.put(place / "resolv.conf")
    with suppress(OSError, ValueError):
        json.dumps(sorted(grants_in(place / "limits.json")))
    system_name_servers(place / "resolv.conf")
    shutil.rmtree(place)


@given(environ=st.dictionaries(st.sampled_from(sorted(variables())), texts, max_size=5), secret=entries)
def test_settings(tmp_path_factory: pytest.TempPathFactory, environ: dict[str, Any], secret: Entry) -> None:
    """
    certworker loads each environment, or rejects it as invalid.
    """
    path = tmp_path_factory.mktemp("settings") / "secret"
    secret.put(path)
    with suppress(InvalidSettings):
        assert repr(load({**environ, "_APP_REDIS_PASS_FILE": str(path), "CERTWORKER_LIMITS_FILE": str(path)}))
