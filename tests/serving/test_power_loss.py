"""
The proof that a power cut at any moment leaves every reader with a matching pair.

The changes of the disk are recorded as they really happen, cut at every point, and every state is built
in which POSIX would allow the disk to come back. Each state is put to the readers.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from certworker.certificates import Certificate
from certworker.serving.traefik import Traefik
from certworker.serving.volume import Volume
from tests.serving.authority import Signer
from tests.serving.disk import Disk, Tree, read_tree, replayed, write_tree
from tests.serving.reader import followed, found
from tests.serving.trace import Effect, Trace

NAME = "shop.example.com"
OTHER = "www.example.com"

Counts = Callable[[str, object], None]

#: In the records: from here on the change has to last.
STORED, SERVED, WITHDRAWN, REMOVED = "stored", "served", "withdrawn", "removed"


@dataclass
class Site:
    """
    A volume and a configuration directory below *root*, which may be put back to any state.
    """

    root: Path
    signer: Signer

    @property
    def volume(self) -> Volume:
        """
        The volume, as a worker that has just started sees it.
        """
        return Volume(self.root / "certificates")

    @property
    def traefik(self) -> Traefik:
        """
        Traefik's files, likewise.
        """
        return Traefik(self.root / "config")

    def publish(
        self, *names: str, token: int, mark: Callable[[str], None] = lambda _mark: None
    ) -> Certificate:
        """
        Put a new certificate into service, as an issuance does.
        """
        certificate = self.signer.certificate(*names)
        stored = self.volume.store(certificate, authority="letsencrypt", kind="public", token=token)
        mark(STORED)
        self.traefik.serve(stored)
        mark(SERVED)
        return certificate

    def become(self, tree: Tree) -> None:
        """
        Be what the disk is after a power cut.
        """
        shutil.rmtree(self.root)
        write_tree(self.root, tree)

    def lay_appwrites_files(self) -> Certificate:
        """
        What Appwrite's worker leaves: four plain files, and a YAML that names them.
        """
        certificate = self.signer.certificate(NAME)
        directory = self.root / "certificates" / NAME
        directory.mkdir()
        contents = {
            "cert": certificate.cert_pem,
            "chain": certificate.chain_pem,
            "fullchain": certificate.fullchain_pem,
            "privkey": certificate.key.pem,
        }
        for file, content in contents.items():
            (directory / f"{file}.pem").write_bytes(content)
        (self.root / "config" / f"{NAME}.yml").write_text(
            "tls:\n  certificates:\n"
            f"    - certFile: {directory}/fullchain.pem\n      keyFile: {directory}/privkey.pem\n"
        )
        return certificate


@pytest.fixture
def site(signer: Signer, tmp_path: Path) -> Iterator[Site]:
    """
    Two empty directories, in memory where the machine has such a place: thousands of states are written.
    """
    memory = Path("/dev/shm")  # noqa: S108
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as place:
        root = Path(place) / "disk"
        for directory in (root / "certificates", root / "config"):
            directory.mkdir(parents=True)
        yield Site(root, signer)


def recorded(site: Site, act: Callable[[Callable[[str], None]], object]) -> tuple[Tree, list[Effect]]:
    """
    The disk before *act*, and all that *act* does to it. *act* may mark how far it has come.
    """
    before = read_tree(site.root)
    trace = Trace(site.root)
    with trace.recording():
        act(trace.mark)
    assert replayed(before, trace.effects) == read_tree(site.root), "something escaped the records"
    return before, trace.effects


def cuts(before: Tree, effects: list[Effect]) -> Iterator[tuple[set[str], Disk]]:
    """
    The disk after each of *effects*, with the marks passed until then.
    """
    disk, passed = Disk(before), set[str]()
    yield passed, disk
    for effect in effects:
        disk.apply(effect)
        if effect.verb == "mark":
            passed = passed | {effect.path}
        yield passed, disk


def check_every_state(
    site: Site, before: Tree, effects: list[Effect], check: Callable[[set[str]], None]
) -> tuple[int, int]:
    """
    Put every state after every cut to *check*; the same tree with the same marks only once.

    Returns:
        How many states there were, and how many different ones.
    """
    states = 0
    seen = set[tuple[Tree, frozenset[str]]]()
    for passed, disk in cuts(before, effects):
        for tree in disk.states():
            states += 1
            if (tree, frozenset(passed)) not in seen:
                seen.add((tree, frozenset(passed)))
                site.become(tree)
                check(passed)
    return states, len(seen)


def serial(certificate: Certificate | None) -> str | None:
    """
    What tells two certificates apart.
    """
    return certificate.serial if certificate else None


def check_readers(site: Site, passed: set[str], old: Certificate | None, names: tuple[str, ...]) -> None:
    """
    Each reader finds the *old* certificate or the new one, and the new one once the worker said so.
    """
    for name in names:
        served, linked = followed(site.traefik.directory, name), found(site.volume.directory, name)
        if old is not None:
            assert served is not None
            assert linked is not None
        if STORED in passed:
            assert linked is not None
            assert serial(linked) != serial(old)
        if SERVED in passed:
            assert served is not None
            assert serial(served) == serial(linked)
    assert {".yml", ""} >= {path.suffix for path in site.traefik.directory.iterdir()}


def check_recovery(site: Site, names: tuple[str, ...]) -> None:
    """
    A worker that starts on what is left can go on, and leaves nothing lying about.
    """
    latest = site.publish(*names, token=9)
    site.volume.prune(site.traefik.served())
    site.traefik.prune()
    for name in names:
        assert latest.serial == serial(followed(site.traefik.directory, name))
        assert latest.serial == serial(found(site.volume.directory, name))
    assert [] == list(site.root.rglob("*.tmp"))


class TestReplacing:
    def test_a_generation(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        The renewal of every certificate, for years.
        """
        old = site.publish(NAME, token=1)
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=2, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, old, (NAME,))
            check_recovery(site, (NAME,))

        states, different = check_every_state(site, before, effects, check)
        record_testsuite_property("power cuts: a renewal", f"{states} states, {different} different")
        assert states > 200

    def test_a_generation_of_two_names(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        Between the two renames one name has the new one already and the other still the old one.
        """
        old = site.publish(NAME, OTHER, token=1)
        before, effects = recorded(site, lambda mark: site.publish(NAME, OTHER, token=2, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, old, (NAME, OTHER))
            check_recovery(site, (NAME, OTHER))

        states, different = check_every_state(site, before, effects, check)
        record_testsuite_property(
            "power cuts: a renewal of two names", f"{states} states, {different} different"
        )
        assert states > 200

    def test_appwrites_files(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        Traefik reads these very files while four links take their place, one after the other.
        """
        old = site.lay_appwrites_files()
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=1, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, old, (NAME,))
            check_recovery(site, (NAME,))

        states, different = check_every_state(site, before, effects, check)
        record_testsuite_property(
            "power cuts: the adoption of plain files", f"{states} states, {different} different"
        )
        assert states > 400


class TestBeginning:
    def test_the_first_certificate(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        A file of Traefik's that leads nowhere would stay unnoticed when its certificate comes later.
        """
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=1, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, None, (NAME,))
            check_recovery(site, (NAME,))

        states, different = check_every_state(site, before, effects, check)
        record_testsuite_property(
            "power cuts: a first certificate", f"{states} states, {different} different"
        )
        assert states > 200


class TestTakingAway:
    def test_old_generations(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        Removing is not atomic; it must only ever touch what nobody follows.
        """
        for token in range(1, 5):
            old = site.publish(NAME, token=token)
        before, effects = recorded(site, lambda _mark: site.volume.prune(site.traefik.served()))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, old, (NAME,))
            assert old.serial == serial(followed(site.traefik.directory, NAME))
            check_recovery(site, (NAME,))

        states, different = check_every_state(site, before, effects, check)
        record_testsuite_property("power cuts: old generations", f"{states} states, {different} different")
        assert states > 60

    def test_a_name(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        Traefik's file goes first and its absence lasts, before the files that it names go.
        """
        site.publish(NAME, token=1)

        def remove(mark: Callable[[str], None]) -> None:
            site.traefik.remove(NAME)
            mark(WITHDRAWN)
            site.volume.remove(NAME)
            mark(REMOVED)
            site.volume.prune(site.traefik.served())

        def check(passed: set[str]) -> None:
            served = followed(site.traefik.directory, NAME)
            assert WITHDRAWN not in passed or served is None
            assert REMOVED not in passed or [] == list(site.volume.names())
            check_recovery(site, (NAME,))

        before, effects = recorded(site, remove)
        states, different = check_every_state(site, before, effects, check)
        record_testsuite_property("power cuts: a removal", f"{states} states, {different} different")
        assert states > 60


class TestAfterAKill:
    @pytest.mark.parametrize("has_files", [False, True], ids=["nothing", "appwrite's files"])
    def test_the_next_worker_makes_the_first_ones_work_last(self, site: Site, has_files: bool) -> None:
        """
        What a killed worker had not fsynced looks finished to the next one, until the power goes.
        """
        old = site.lay_appwrites_files() if has_files else None
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=1, mark=mark))
        random = Random(1)
        points = [number for number, effect in enumerate(effects) if effect.verb != "mark"]

        for number in points:
            killed = effects[: number + 1]
            site.become(replayed(before, killed))
            _, more = recorded(site, lambda mark: site.publish(NAME, token=2, mark=mark))
            disk = Disk(before)
            for effect in (*killed, *more):
                disk.apply(effect)
            for tree in {disk.lasting(), *(disk.draw(random) for _ in range(5))}:
                site.become(tree)
                check_readers(site, {STORED, SERVED}, old, (NAME,))

        assert len(points) > 50


class TestTheProofItself:
    """
    A proof that cannot fail proves nothing: each kind of fsync is taken out, and readers have to notice.
    """

    @pytest.mark.parametrize(
        "without",
        [
            "certificates/.certworker/generations/*/privkey.pem",
            "certificates/.certworker/generations/*/fullchain.pem",
            "certificates/.certworker/generations/*.tmp",
            "certificates/.certworker/generations",
            "certificates/.certworker/live",
            "config/.certworker/*.tmp",
            "config",
        ],
    )
    def test_each_fsync_is_needed(self, site: Site, without: str) -> None:
        """
        States are drawn at random here; there are too many when nothing is fsynced.
        """
        old = site.publish(NAME, token=1)
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=2, mark=mark))
        fewer = [each for each in effects if not (each.verb == "fsync" and Path(each.path).match(without))]
        assert len(fewer) < len(effects)
        random = Random(1)

        failures = 0
        for passed, disk in cuts(before, fewer):
            for _ in range(10):
                site.become(disk.draw(random))
                try:
                    check_readers(site, passed, old, (NAME,))
                except Exception:  # whatever a reader meets
                    failures += 1

        assert failures > 0
