"""
Tests that each name is served after a power cut, or a kill, at any moment of a change to shards.

The states of the disk are those of :mod:`tests.storage.test_power_loss`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from certworker.certificates import Certificate
from certworker.storage.metadata import CertificateMetadata
from certworker.traefik import layout, shard_change
from certworker.traefik.config import TraefikConfig
from certworker.traefik.layout import LayoutChoice
from certworker.traefik.shards import bits_of
from tests.storage.reader import matching, pairs_in
from tests.storage.site import SERVED, Site
from tests.storage.test_power_loss import cuts, recorded

pytestmark = pytest.mark.slow

NAMES = ("a.example.com", "b.example.com", "c.example.com", "d.example.com")

#: The recovery is slower than the check of the readers, so it covers only a part of the states.
RECOVER_EVERY = 5


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Split shards with more than two names, and let `auto` write shards above three names.
    """
    monkeypatch.setattr(shard_change, "LARGEST_SHARD", 2)
    monkeypatch.setattr(layout, "MOST_FILES", 3)
    monkeypatch.setattr(layout, "FEW_NAMES", 3)


def served(config: Path) -> dict[str, list[Certificate]]:
    """
    Return the certificates for each name that Traefik reads from all files.

    Raises:
        Exception: A file is invalid, or a pair is missing or does not match.
    """
    found = dict[str, list[Certificate]]()
    for file in config.glob("*.yml"):
        for pair in pairs_in(file.read_bytes()):
            certificate = matching(Path(pair["certFile"]).read_bytes(), Path(pair["keyFile"]).read_bytes())
            metadata = CertificateMetadata.read(Path(pair["certFile"]).parent)
            assert metadata
            for name in metadata.names:
                found.setdefault(name, []).append(certificate)
    return found


def configured(site: Site, choice: LayoutChoice) -> TraefikConfig:
    """
    Return the files of Traefik as a worker with this setting sees them.
    """
    return TraefikConfig(site.root / "config", layout=choice, least_age_seconds=0)


def generations(site: Site) -> dict[str, Path]:
    """
    Return the generation of each name, as the inventory of a repair does.
    """
    found = {name: site.volume.links.generation(name) for name in site.volume.names()}
    return {name: directory for name, directory in found.items() if directory}


def check_every_state(
    site: Site,
    choice: LayoutChoice,
    action: Callable[[Callable[[str], None]], object],
    expected: Callable[[set[str], dict[str, list[Certificate]]], None],
) -> int:
    """
    Check that all names are served in every state, and that a repair leaves one place for each.

    Returns:
        The number of different states.
    """
    before, effects = recorded(site, action)
    seen = set[object]()
    for passed, disk in cuts(before, effects):
        for tree in disk.states():
            if (tree, frozenset(passed)) in seen:
                continue
            seen.add((tree, frozenset(passed)))
            site.reset_to(tree)
            found = served(site.root / "config")
            assert set(NAMES) == found.keys()
            expected(passed, found)
            if len(seen) % RECOVER_EVERY == 0:
                configured(site, choice).repair(generations(site), complete=True)
                assert dict.fromkeys(NAMES, 1) == {
                    name: len(each) for name, each in served(site.root / "config").items()
                }
    return len(seen)


def fill(site: Site, choice: LayoutChoice) -> dict[str, Certificate]:
    """
    Put a certificate for each name into service in this layout.
    """
    found = dict[str, Certificate]()
    for name in NAMES:
        found[name] = site.signer.certificate(name)
        stored = site.volume.store(found[name], authority="letsencrypt", kind="public", token=1)
        configured(site, choice).publish(stored)
    return found


def any_served(_passed: set[str], _found: dict[str, list[Certificate]]) -> None:
    """
    Accept any certificate of each name.
    """


@pytest.mark.parametrize(
    ("earlier", "later"), [("per-name", "sharded"), ("sharded", "per-name"), ("per-name", "auto")]
)
def test_a_change_of_the_layout(site: Site, earlier: LayoutChoice, later: LayoutChoice) -> None:
    """
    There and back, no name is unserved after any power cut, and each certificate is the same.
    """
    old = fill(site, earlier)

    def unchanged(_passed: set[str], found: dict[str, list[Certificate]]) -> None:
        assert {name: {each.serial} for name, each in old.items()} == {
            name: {each.serial for each in certificates} for name, certificates in found.items()
        }

    def change(_mark: Callable[[str], None]) -> None:
        configured(site, later).repair(generations(site), complete=True)

    assert check_every_state(site, later, change, unchanged) > 10


@pytest.mark.parametrize("earlier", ["sharded", "per-name"])
def test_a_renewal(site: Site, earlier: LayoutChoice) -> None:
    """
    After a power cut in a renewal, its name has the old or the new certificate, and the others theirs.
    """
    old = fill(site, earlier)
    new = site.signer.certificate(NAMES[0])

    def renew(mark: Callable[[str], None]) -> None:
        stored = site.volume.store(new, authority="letsencrypt", kind="public", token=2)
        configured(site, "sharded").publish(stored)
        mark(SERVED)

    def expected(passed: set[str], found: dict[str, list[Certificate]]) -> None:
        serials = {each.serial for each in found[NAMES[0]]}
        assert serials <= {old[NAMES[0]].serial, new.serial}
        assert SERVED not in passed or {new.serial} == serials
        for name in NAMES[1:]:
            assert {old[name].serial} == {each.serial for each in found[name]}

    assert check_every_state(site, "sharded", renew, expected) > 40


def test_a_split(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    After a power cut in the split of a shard, all names are served.
    """
    monkeypatch.setattr(shard_change, "LARGEST_SHARD", 4)
    fill(site, "sharded")
    [name, *others] = [each for each in NAMES if bits_of(each)[0] == "0"]
    assert others
    new = site.signer.certificate(name)
    stored = site.volume.store(new, authority="letsencrypt", kind="public", token=2)
    monkeypatch.setattr(shard_change, "LARGEST_SHARD", 1)
    before = {file.name for file in (site.root / "config").glob("*.yml")}

    def publish(_mark: Callable[[str], None]) -> None:
        configured(site, "sharded").publish(stored)

    assert check_every_state(site, "sharded", publish, any_served) > 5
    assert before - {file.name for file in (site.root / "config").glob("*.yml")}
