"""
Tests that each reader finds a matching pair after a power cut at any moment.

The tests record the real changes to the disk and stop after each of them. They build every state that
POSIX allows after a power cut, and check each state with the readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from certworker.storage.metadata import CertificateMetadata
from certworker.storage.replica import Copy, put_into_service
from tests.storage.disk import Disk, Tree, read_tree, replayed
from tests.storage.reader import followed
from tests.storage.site import SERVED, STORED, Site, check_readers, check_recovery, serial
from tests.storage.stored import NAME
from tests.storage.trace import Effect, Trace

pytestmark = pytest.mark.slow

OTHER = "www.example.com"

Counts = Callable[[str, object], None]

#: The check of the recovery is slower than that of the readers, so it covers only a part of the states.
RECOVER_EVERY = 5

#: Marks in the trace of a removal. The change is durable from its mark on.
WITHDRAWN, REMOVED = "withdrawn", "removed"


def recorded(site: Site, action: Callable[[Callable[[str], None]], object]) -> tuple[Tree, list[Effect]]:
    """
    Return the tree before *action*, and all changes by *action*, which can mark its progress.
    """
    before = read_tree(site.root)
    trace = Trace(site.root)
    with trace.recording():
        action(trace.mark)
    assert replayed(before, trace.effects) == read_tree(site.root), "something escaped the records"
    return before, trace.effects


def cuts(before: Tree, effects: list[Effect]) -> Iterator[tuple[set[str], Disk]]:
    """
    Yield the disk after each of *effects*, with the marks that were passed.
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
    Call *check* with every state after every power cut, and with equal states once.

    After every fifth of them, check that a worker can publish for *names*.

    Returns:
        The number of states, and the number of different ones.
    """
    states = 0
    seen = set[tuple[Tree, frozenset[str]]]()
    for passed, disk in cuts(before, effects):
        for tree in disk.states():
            states += 1
            if (tree, frozenset(passed)) not in seen:
                seen.add((tree, frozenset(passed)))
                site.reset_to(tree)
                check(passed)
                if len(seen) % RECOVER_EVERY == 0:
                    check_recovery(site, names)
    return states, len(seen)


class TestReplacing:
    def test_a_renewal(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        After a power cut in a renewal, readers find the old or the new certificate.
        """
        old = site.publish(NAME, token=1)
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=2, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, old, (NAME,))

        states, different = check_every_state(site, before, effects, check, NAME)
        record_testsuite_property("power cuts: a renewal", f"{states} states, {different} different")
        assert states > 200

    def test_a_renewal_of_two_names(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        After a power cut, each name has the old or the new certificate.
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

    def test_plain_files_of_appwrite(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        After a power cut while links replace the plain files, readers find a matching pair.
        """
        old = site.write_files_of_appwrite()
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=1, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, old, (NAME,))

        states, different = check_every_state(site, before, effects, check, NAME)
        record_testsuite_property(
            "power cuts: the adoption of plain files", f"{states} states, {different} different"
        )
        assert states > 400


class TestReceiving:
    def test_a_copy_of_another_host(self, site: Site) -> None:
        """
        After a power cut while a copy is put into service, readers find the old or the new certificate.

        The states before the generation has its name are those of a renewal.
        """
        old, certificate = site.publish(NAME, token=1), site.signer.certificate(NAME)
        metadata = CertificateMetadata.of(certificate, authority="a", kind="public", generation=2)
        copy = Copy(f"{2:012d}-{0:08x}", certificate, metadata, (NAME,))

        def receive(mark: Callable[[str], None]) -> None:
            put_into_service(site.volume, [copy])
            mark(STORED)

        before, effects = recorded(site, receive)
        named = next(number for number, effect in enumerate(effects) if effect.verb == "rename")
        states = 0
        for passed, disk in islice(cuts(before, effects), named, None):
            for tree in disk.states():
                states += 1
                site.reset_to(tree)
                check_readers(site, passed, old, (NAME,))
        assert states > 20


class TestFirstCertificate:
    def test_a_first_certificate(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        After a power cut, no file of Traefik names a missing certificate.
        """
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=1, mark=mark))

        def check(passed: set[str]) -> None:
            check_readers(site, passed, None, (NAME,))

        states, different = check_every_state(site, before, effects, check, NAME)
        record_testsuite_property(
            "power cuts: a first certificate", f"{states} states, {different} different"
        )
        assert states > 200


class TestRemoving:
    def test_removed_generations(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        After a power cut in the pruning, readers find the current certificate.
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

    def test_a_removed_name(self, site: Site, record_testsuite_property: Counts) -> None:
        """
        After a power cut, Traefik's file is absent or names existing files.
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
    def test_the_next_worker_makes_earlier_changes_durable(self, site: Site, has_files: bool) -> None:
        """
        The next worker calls fsync for the files that a killed worker left without it.
        """
        old = site.write_files_of_appwrite() if has_files else None
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=1, mark=mark))
        random = Random(1)
        points = [number for number, effect in enumerate(effects) if effect.verb != "mark"]

        for number in points:
            killed = effects[: number + 1]
            site.reset_to(replayed(before, killed))
            _, more = recorded(site, lambda mark: site.publish(NAME, token=2, mark=mark))
            disk = Disk(before)
            for effect in (*killed, *more):
                disk.apply(effect)
            for tree in {disk.lasting(), *(disk.draw(random) for _ in range(5))}:
                site.reset_to(tree)
                check_readers(site, {STORED, SERVED}, old, (NAME,))

        assert len(points) > 50


class TestSensitivity:
    """
    The checks above can fail: without any one of the fsync calls, a reader finds an error.
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
        Without one fsync call, the readers find an error in at least one state.

        The states are drawn at random, because there are too many without fsync.
        """
        old = site.publish(NAME, token=1)
        before, effects = recorded(site, lambda mark: site.publish(NAME, token=2, mark=mark))
        fewer = [each for each in effects if not (each.verb == "fsync" and Path(each.path).match(without))]
        assert len(fewer) < len(effects)
        random = Random(1)

        failures = 0
        for passed, disk in cuts(before, fewer):
            for _ in range(10):
                site.reset_to(disk.draw(random))
                try:
                    check_readers(site, passed, old, (NAME,))
                except Exception:  # each error that a reader finds counts
                    failures += 1

        assert failures > 0
