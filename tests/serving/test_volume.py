"""
What readers of the volume find, before, while and after a certificate is replaced.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from certworker.certificates import Certificate
from certworker.errors.machine import Fenced, VolumeLocked, VolumeReadOnly
from certworker.serving.volume import Stored, Volume
from tests.serving.authority import Signer

NAME = "shop.example.com"
FILES = ("cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")


def store(volume: Volume, certificate: Certificate, token: int = 1) -> Stored:
    """
    Put *certificate* into service, as a public CA's.
    """
    return volume.store(certificate, authority="letsencrypt", kind="public", token=token)


def content(stored: Stored | None) -> tuple[object, ...]:
    """
    What makes two readings the same; keys compare by their PEM.
    """
    if stored is None:
        return ()
    certificate = stored.certificate
    return stored.directory, stored.facts, certificate.fullchain_pem, certificate.key.pem


def lay_plain_files(volume: Volume, name: str, certificate: Certificate) -> Path:
    """
    Four plain files, as Appwrite's own worker leaves them.
    """
    directory = volume.directory / name
    directory.mkdir(parents=True, exist_ok=True)
    contents = (certificate.cert_pem, certificate.chain_pem, certificate.fullchain_pem, certificate.key.pem)
    for file, content in zip(FILES, contents, strict=True):
        (directory / file).unlink(missing_ok=True)
        (directory / file).write_bytes(content)
    return directory


def generations(volume: Volume) -> list[str]:
    """
    What lies in the directory of generations.
    """
    return sorted(os.listdir(volume.directory / ".certworker/generations"))  # noqa: PTH208


class TestStore:
    def test_every_reader_finds_the_four_files(self, volume: Volume, signer: Signer) -> None:
        """
        The core, a mail server, a backup: they know certbot's file names and nothing of us.
        """
        certificate = signer.certificate(NAME)

        store(volume, certificate)

        directory = volume.directory / NAME
        found = [(directory / file).read_bytes() for file in FILES]
        assert [
            certificate.cert_pem,
            certificate.chain_pem,
            certificate.fullchain_pem,
            certificate.key.pem,
        ] == found

    def test_the_core_could_delete_it(self, volume: Volume, signer: Signer) -> None:
        """
        PHP deletes a directory only if its real path is its path, and it unlinks `*.*` first.
        """
        store(volume, signer.certificate(NAME))

        directory = volume.directory / NAME
        assert directory.resolve() == directory.parent.resolve() / NAME
        for file in directory.glob("*.*"):
            file.unlink()
        directory.rmdir()
        assert (None, None, []) == (volume.current(NAME), volume.facts(NAME), list(volume.names()))

    def test_the_links_are_relative(self, volume: Volume, signer: Signer) -> None:
        """
        The volume is mounted elsewhere in other containers.
        """
        store(volume, signer.certificate(NAME))

        moved = volume.directory.with_name("mounted-elsewhere")
        volume.directory.rename(moved)
        assert (moved / NAME / "fullchain.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE")

    def test_keys_are_for_the_worker_alone(self, volume: Volume, signer: Signer) -> None:
        """
        Other containers mount this volume, too; certificates are public, keys are not.
        """
        before = os.umask(0)
        try:
            stored = store(volume, signer.certificate(NAME))
        finally:
            os.umask(before)

        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in stored.directory.iterdir()}
        assert {
            "cert.pem": 0o644,
            "chain.pem": 0o644,
            "fullchain.pem": 0o644,
            "meta.json": 0o644,
            "privkey.pem": 0o600,
        } == modes
        assert 0o755 == stat.S_IMODE(stored.directory.stat().st_mode)

    def test_a_narrow_umask_does_not_lock_readers_out(self, volume: Volume, signer: Signer) -> None:
        """
        A hardened image runs with umask 077; Traefik and the core may run as somebody else.
        """
        before = os.umask(0o077)
        try:
            stored = store(volume, signer.certificate(NAME))
        finally:
            os.umask(before)

        for place in (volume.directory / NAME, volume.directory / ".certworker/live", stored.directory):
            assert 0o755 == stat.S_IMODE(place.stat().st_mode), place
        assert 0o644 == stat.S_IMODE((stored.directory / "fullchain.pem").stat().st_mode)

    def test_several_names_share_one_generation(self, volume: Volume, signer: Signer) -> None:
        """
        One certificate with several names must not be served in two versions.
        """
        names = ("a.example.com", "b.example.com")

        stored = store(volume, signer.certificate(*names))

        found = {name: content(volume.current(name)) for name in names}
        assert dict.fromkeys(names, content(stored)) == found

    def test_a_generation_is_never_touched_again(self, volume: Volume, signer: Signer) -> None:
        """
        Traefik reads the chain and the key in two steps, and may be between them right now.
        """
        first = signer.certificate(NAME)
        stored = store(volume, first, token=1)

        store(volume, signer.certificate(NAME), token=2)

        assert first.fullchain_pem == (stored.directory / "fullchain.pem").read_bytes()
        assert first.key.pem == (stored.directory / "privkey.pem").read_bytes()

    def test_a_directory_that_is_a_link_is_not_followed(self, volume: Volume, signer: Signer) -> None:
        """
        Nothing is written outside the volume, and the core would never delete a linked directory.
        """
        outside = volume.directory.with_name("outside")
        outside.mkdir()
        volume.directory.mkdir()
        (volume.directory / NAME).symlink_to(outside)

        store(volume, signer.certificate(NAME))

        assert [] == list(outside.iterdir())
        assert not (volume.directory / NAME).is_symlink()


class TestNames:
    @pytest.mark.parametrize(
        "name",
        [
            "..",
            ".",
            "",
            "../outside",
            "a/b",
            "/etc",
            ".certworker",
            ".well-known",
            "a\0b",
            "a\nb",
            "A.COM",
            "a" * 254,
        ],
    )
    def test_no_name_leads_out_of_its_directory(self, volume: Volume, name: str) -> None:
        """
        Names are checked at the door; this is the wall behind the door.
        """
        for act in (volume.current, volume.facts, volume.remove):
            with pytest.raises(ValueError, match="not a name"):
                act(name)

    def test_a_certificate_with_such_a_name_is_not_written(self, volume: Volume, signer: Signer) -> None:
        """
        A CA, too, may send a name that nobody ordered.
        """
        with pytest.raises(ValueError, match="not a name"):
            store(volume, signer.certificate("good.example.com", "../outside"))

        assert not volume.directory.exists()

    def test_the_longest_name_fits(self, volume: Volume, signer: Signer) -> None:
        """
        253 characters are allowed, and a file name has 255.
        """
        name = ".".join(["a" * 49] * 5) + ".ab"
        assert 252 == len(name)

        stored = store(volume, signer.certificate(name))

        assert content(stored) == content(volume.current(name))

    def test_they_come_in_order_and_from_where_a_scan_was_interrupted(
        self, volume: Volume, signer: Signer
    ) -> None:
        """
        A worker with 50,000 names goes on where it was stopped.
        """
        for name in ("c.example.com", "a.example.com", "b.example.com"):
            store(volume, signer.certificate(name))

        assert ["a.example.com", "b.example.com", "c.example.com"] == list(volume.names())
        assert ["c.example.com"] == list(volume.names(after="b.example.com"))

    def test_what_is_no_certificate_is_no_name(self, volume: Volume, signer: Signer) -> None:
        """
        A volume has a lost+found, the webroot, and whatever a person put there.
        """
        store(volume, signer.certificate(NAME))
        for other in ("lost+found", ".well-known", "empty.example.com", "README"):
            (volume.directory / other).mkdir()
        (volume.directory / "file.example.com").write_text("not a directory")

        assert [NAME] == list(volume.names())

    def test_an_absent_volume_has_none(self, volume: Volume) -> None:
        """
        Asking must not fail before the first certificate.
        """
        assert ([], None, None, 0) == (
            list(volume.names()),
            volume.current(NAME),
            volume.facts(NAME),
            volume.highest_token(),
        )


class TestCurrent:
    def test_it_is_what_was_stored(self, volume: Volume, signer: Signer) -> None:
        """
        The facts survive the way over the disk: renewal depends on each of them.
        """
        certificate = signer.certificate(NAME)

        stored = volume.store(certificate, authority="letsencrypt", kind="public", token=7)

        assert content(stored) == content(Volume(volume.directory).current(NAME))
        assert stored.facts == volume.facts(NAME)
        assert (7, "letsencrypt", "public", certificate.not_after) == (
            stored.facts.generation,
            stored.facts.authority,
            stored.facts.kind,
            stored.facts.not_after,
        )
        assert 7 == volume.highest_token()

    @pytest.mark.parametrize(
        ("file", "content", "code"),
        [
            ("privkey.pem", b"", "fs.corrupt"),
            ("fullchain.pem", b"", "fs.corrupt"),
            ("privkey.pem", b"not a key", "fs.corrupt"),
            ("fullchain.pem", b"not a certificate", "fs.partial"),
        ],
    )
    def test_a_damaged_file_is_said_and_is_no_certificate(
        self,
        volume: Volume,
        signer: Signer,
        caplog: pytest.LogCaptureFixture,
        file: str,
        content: bytes,
        code: str,
    ) -> None:
        """
        An empty file after a power cut must lead to a new certificate, not to a crash at each look.
        """
        stored = store(volume, signer.certificate(NAME))
        (stored.directory / file).write_bytes(content)

        with caplog.at_level(logging.WARNING):
            assert volume.current(NAME) is None

        [told] = caplog.records
        assert (NAME, code) == (told.__dict__["domain"], told.__dict__["code"])
        assert "BEGIN" not in told.getMessage()

    def test_a_key_of_another_certificate_is_said(
        self, volume: Volume, signer: Signer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        Four renames that were interrupted leave the new chain beside the old key.
        """
        directory = lay_plain_files(volume, NAME, signer.certificate(NAME))
        (directory / "privkey.pem").write_bytes(signer.certificate(NAME).key.pem)

        assert volume.current(NAME) is None

        assert ["fs.partial"] == [told.__dict__["code"] for told in caplog.records]

    def test_lost_facts_are_read_from_the_certificate(self, volume: Volume, signer: Signer) -> None:
        """
        The pair is what matters; a lost note must not cost a new order.
        """
        stored = store(volume, signer.certificate(NAME), token=7)
        (stored.directory / "meta.json").write_text("{")

        assert volume.facts(NAME) is None
        current = volume.current(NAME)
        assert current
        assert (stored.certificate.serial, 7, "public") == (
            current.certificate.serial,
            current.facts.generation,
            current.facts.kind,
        )


class TestFilesOfOthers:
    def test_they_are_in_service(self, volume: Volume, signer: Signer) -> None:
        """
        What Appwrite's worker issued is valid; ordering it again would eat a weekly limit.
        """
        certificate = signer.certificate(NAME)
        directory = lay_plain_files(volume, NAME, certificate)

        current = volume.current(NAME)

        assert current
        assert (certificate.serial, directory) == (current.certificate.serial, current.directory)
        assert ("", "public", 0) == (current.facts.authority, current.facts.kind, current.facts.generation)
        assert [NAME] == list(volume.names())

    @pytest.mark.parametrize(
        ("issuer", "kind"),
        [
            ("(STAGING) Tenuous Tomato", "staging"),
            ("certworker development CA", "development"),
            ("R13", "public"),
        ],
    )
    def test_their_kind_is_told_by_the_issuer(self, volume: Volume, issuer: str, kind: str) -> None:
        """
        A staging certificate that somebody forgot must not keep a public one from taking its place.
        """
        lay_plain_files(volume, NAME, Signer(issuer).certificate(NAME))

        current = volume.current(NAME)

        assert current
        assert kind == current.facts.kind

    def test_ours_takes_their_place(self, volume: Volume, signer: Signer) -> None:
        """
        Afterwards one rename switches all four, as for any other name.
        """
        directory = lay_plain_files(volume, NAME, signer.certificate(NAME))

        stored = store(volume, signer.certificate(NAME))

        assert content(stored) == content(volume.current(NAME))
        assert all((directory / file).is_symlink() for file in FILES)

    def test_theirs_are_the_truth_when_they_come_back(self, volume: Volume, signer: Signer) -> None:
        """
        Who goes back to the old worker for a while must not be served what we had before.
        """
        store(volume, signer.certificate(NAME), token=1)
        theirs = signer.certificate(NAME)
        lay_plain_files(volume, NAME, theirs)

        current = volume.current(NAME)
        assert current
        assert theirs.serial == current.certificate.serial

        ours = store(volume, signer.certificate(NAME), token=2)
        assert content(ours) == content(volume.current(NAME))


class TestFencing:
    def test_a_late_worker_does_not_overwrite(self, volume: Volume, signer: Signer) -> None:
        """
        A worker that was frozen for an hour wakes up with a certificate that nobody wants any more.
        """
        newer = store(volume, signer.certificate(NAME), token=8)

        with pytest.raises(Fenced) as caught:
            store(volume, signer.certificate("other.example.com", NAME), token=7)

        assert "fs.fenced" == caught.value.code
        assert content(newer) == content(volume.current(NAME))
        assert volume.current("other.example.com") is None
        assert [newer.directory.name] == generations(volume)

    def test_waiting_ends(self, tmp_path: Path, signer: Signer) -> None:
        """
        A worker that hangs while it holds the lock must not hang all the others.
        """
        volume = Volume(tmp_path, patience_seconds=0.05)
        store(volume, signer.certificate(NAME))

        with (tmp_path / ".certworker/lock").open("ab") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(VolumeLocked) as caught:
                store(volume, signer.certificate(NAME), token=2)

        assert "0.05 seconds" in caught.value.message
        store(volume, signer.certificate(NAME), token=2)

    def test_a_hanging_thread_ends_the_waiting_of_its_neighbours(
        self, tmp_path: Path, signer: Signer
    ) -> None:
        """
        The slots of one worker wait for each other in memory; that ends, too.
        """
        volume = Volume(tmp_path, patience_seconds=0.05)
        certificate = signer.certificate(NAME)
        entered, leave = threading.Event(), threading.Event()

        def hang() -> None:
            with volume._lock.held():
                entered.set()
                leave.wait(10)

        thread = threading.Thread(target=hang)
        thread.start()
        entered.wait(10)
        began = time.monotonic()
        with pytest.raises(VolumeLocked):
            store(volume, certificate)
        leave.set()
        thread.join()

        assert time.monotonic() - began < 5

    def test_writers_come_one_after_another(self, volume: Volume, signer: Signer) -> None:
        """
        Sixteen slots publish at the same time; the highest token wins, whatever the order.
        """
        certificates = {token: signer.certificate(NAME) for token in range(1, 17)}

        def publish(token: int) -> None:
            with suppress(Fenced):
                store(Volume(volume.directory), certificates[token], token)

        threads = [threading.Thread(target=publish, args=(token,)) for token in certificates]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        current = volume.current(NAME)
        assert current
        assert certificates[16].serial == current.certificate.serial


class TestPrune:
    def test_the_last_few_stay(self, volume: Volume, signer: Signer) -> None:
        """
        A reader may be between two files of the generation before; nobody reads the tenth before.
        """
        stored = [store(volume, signer.certificate(NAME), token=token) for token in range(1, 6)]

        volume.prune(served=())

        assert [each.directory.name for each in stored[2:]] == generations(volume)

    def test_what_traefik_names_stays(self, volume: Volume, signer: Signer) -> None:
        """
        If the proxy's file could not be renewed for a while, its certificate has to be there still.
        """
        stored = [store(volume, signer.certificate(NAME), token=token) for token in range(1, 6)]

        volume.prune(served={stored[0].directory.name})

        assert [each.directory.name for each in (stored[0], *stored[2:])] == generations(volume)

    def test_a_generation_shared_by_names_stays_for_each(self, volume: Volume, signer: Signer) -> None:
        """
        One name of the set got certificates of its own; the others still live from the shared one.
        """
        shared = store(volume, signer.certificate(NAME, "other.example.com"), token=1)
        for token in range(2, 7):
            store(volume, signer.certificate(NAME), token=token)

        volume.prune(served=())

        assert content(shared) == content(volume.current("other.example.com"))
        assert 4 == len(generations(volume))

    def test_nothing_of_a_removed_name_stays(self, volume: Volume, signer: Signer) -> None:
        """
        Its keys are secrets that nobody needs any more.
        """
        for token in (1, 2):
            store(volume, signer.certificate(NAME), token=token)

        volume.remove(NAME)
        volume.prune(served=())

        assert ([], []) == (generations(volume), list(volume.names()))
        assert not os.path.lexists(volume.directory / NAME)

    def test_leftovers_of_a_crash_go(self, volume: Volume, signer: Signer) -> None:
        """
        Half-built generations hold keys; with each crash there would be one more.
        """
        stored = store(volume, signer.certificate(NAME))
        place = stored.directory.parent
        (place / "0123456789abcdef.tmp").mkdir()
        (place / "0123456789abcdef.tmp/privkey.pem").write_text("half a key")
        (place / "fedcba9876543210.tmp").symlink_to("nowhere")

        volume.prune(served=())

        assert [stored.directory.name] == generations(volume)


class TestCheckWritable:
    def test_it_leaves_nothing_behind(self, volume: Volume) -> None:
        """
        It is asked before each order.
        """
        volume.directory.mkdir()

        volume.check_writable()

        assert [".certworker"] == sorted(path.name for path in volume.directory.iterdir())
        assert [] == generations(volume)

    def test_a_volume_of_somebody_else_is_told_with_its_remedy(self, forbidden: Path) -> None:
        """
        Appwrite's root-owned worker filled it; the operator needs the command that gives it to us.
        """
        with pytest.raises(VolumeReadOnly) as caught:
            Volume(forbidden).check_writable()

        assert "Permission denied" in caught.value.message
        assert f"{forbidden} belongs to" in caught.value.message
        assert caught.value.remedy.endswith(f"-R {os.geteuid()} {forbidden}")
