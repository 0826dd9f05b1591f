"""
The proof that a power cut at any moment leaves every reader with a matching pair.

The changes of the disk are recorded as they really happen, cut at every point, and every state is built
in which POSIX would allow the disk to come back. Each state is put to the readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.storage.disk import Disk, Tree, read_tree, replayed
from tests.storage.reader import followed
from tests.storage.site import SERVED, STORED, Site, check_readers, check_recovery, serial
from tests.storage.stored import NAME
from tests.storage.trace import Effect, Trace

pytestmark = pytest.mark.slow

OTHER = "www.example.com"

Counts = Callable[[str, object], None]

#: Going on takes longer than reading, and there are thousands of states.
RECOVER_EVERY = 5

#: In the records of a removal: from here on the change has to last.
WITHDRAWN, REMOVED = "withdrawn", "removed"


def recorded(site: Site, act: Callable[[Callable[[str], None]], object]) -> tuple[Tree, list[Effect]]:
    """
    Return the disk before *act*, and all changes by *act*, which may mark its progress.
    """
    before = read_tree(site.root)
    trace = Trace(site.root)
    with trace.recording():
        act(trace.mark)
    assert replayed(before, trace.effects) == read_tree(site.root), "something escaped the records"
    return before, trace.effects


def cuts(before: Tree, effects: list[Effect]) -> Iterator[tuple[set[str], Disk]]:
    """
    Return the disk after each of *effects*, with the marks passed until then.
    """
    disk, passed = Disk(before), set[str]()
    yield passed, disk
    for effect in effects:
        disk.apply(effect)
        if effect.verb == "mark":
            passed = passed | {effect.path}
        yield passed, disk


def check_every_state(
    site: Site,
    before: Tree,
    effects: list[Effect],
    check: Callable[[set[str]], None],
    *names: str,
) -> tuple[int, int]:
    """
    Put every state after every cut to *check*; the same tree with the same marks only once.

    In some of them, evenly spread, a worker then goes on with *names*.

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
                if len(seen) % RECOVER_EVERY == 0:
                    check_recovery(site, names)
    return states, len(seen)


class TestReplacing:
    def test_a_generation(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        The renewal of every certificate.
        """
        old = site.publish(NAME, token=1)
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=2, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, old, (NAME,))

        states, different = check_every_state(site, before, effects, check, NAME)
        record_testsuite_property("power cuts: a renewal", f"{states} states, {different} different")
        assert states > 200

    def test_a_generation_of_two_names(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        Between the two renames one name has the new certificate and the other one the old one.
        """
        old = site.publish(NAME, OTHER, token=1)
        before, effects = recorded(site, lambda mark: site.publish(NAME, OTHER, token=2, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, old, (NAME, OTHER))

        states, different = check_every_state(site, before, effects, check, NAME, OTHER)
        record_testsuite_property(
            "power cuts: a renewal of two names", f"{states} states, {different} different"
        )
        assert states > 200

    def test_appwrites_files(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        Traefik reads these files while four links replace them, one after the other.
        """
        old = site.lay_appwrites_files()
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=1, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, old, (NAME,))

        states, different = check_every_state(site, before, effects, check, NAME)
        record_testsuite_property(
            "power cuts: the adoption of plain files", f"{states} states, {different} different"
        )
        assert states > 400


class TestBeginning:
    def test_the_first_certificate(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        A file of Traefik that leads nowhere would not be noticed when its certificate comes later.
        """
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=1, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, None, (NAME,))

        states, different = check_every_state(site, before, effects, check, NAME)
        record_testsuite_property(
            "power cuts: a first certificate", f"{states} states, {different} different"
        )
        assert states > 200


class TestTakingAway:
    def test_old_generations(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        Removing is not atomic, so it only touches what no reader follows.
        """
        for token in range(1, 5):
            old = site.publish(NAME, token=token)
        before, effects = recorded(site, lambda _mark: site.volume.prune(site.traefik.served_generations()))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, old, (NAME,))
            assert old.serial == serial(followed(site.traefik.directory, NAME))

        states, different = check_every_state(site, before, effects, check, NAME)
        record_testsuite_property("power cuts: old generations", f"{states} states, {different} different")
        assert states > 60

    def test_a_name(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        Traefik's file is removed durably before the files that it names.
        """
        site.publish(NAME, token=1)

        def remove(mark: Callable[[str], None]) -> None:
            site.traefik.remove(NAME)
            mark(WITHDRAWN)
            site.volume.remove(NAME)
            mark(REMOVED)
            site.volume.prune(site.traefik.served_generations())

        def check(passed: set[str]) -> None:
            served = followed(site.traefik.directory, NAME)
            assert WITHDRAWN not in passed or served is None
            assert REMOVED not in passed or [] == list(site.volume.names())

        before, effects = recorded(site, remove)
        states, different = check_every_state(site, before, effects, check, NAME)
        record_testsuite_property("power cuts: a removal", f"{states} states, {different} different")
        assert states > 60


class TestAfterAKill:
    @pytest.mark.parametrize("has_files", [False, True], ids=["nothing", "appwrite's files"])
    def test_the_next_worker_makes_the_first_ones_work_last(self, site: Site, has_files: bool) -> None:
        """
        Files that a killed worker did not fsync look complete to the next one, until a power cut.
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
    The proof can fail: without any one of the fsync calls the readers find a defect.
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
        States are drawn at random here; without fsync there are too many.
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
