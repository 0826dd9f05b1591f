"""
Tests of the certificate store, before, during and after the replacement of a certificate.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from certworker.errors.fs import Fenced, VolumeFault, VolumeReadOnly
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import PEM_FILES, CertificateMetadata
from tests.storage.authority import Signer
from tests.storage.stored import NAME, content, make_newer, store, write_plain_files


def generations(volume: CertificateStore) -> list[str]:
    """
    Return the names of all generations.
    """
    return sorted(path.name for path in (volume.directory / ".certworker/generations").iterdir())


class TestStore:
    def test_every_reader_finds_the_four_files(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The four files have the names that certbot uses and other programs expect.
        """
        certificate = signer.certificate(NAME)

        store(volume, certificate)

        directory = volume.directory / NAME
        found = [(directory / file).read_bytes() for file in PEM_FILES]
        assert [
            certificate.cert_pem,
            certificate.chain_pem,
            certificate.fullchain_pem,
            certificate.key.pem,
        ] == found

    def test_keys_are_readable_by_the_worker_only(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The mode of a key is 0600, and the other files are readable, whatever the umask is.
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

    def test_a_strict_umask_does_not_exclude_readers(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Directories and certificates are readable, even with umask 077. Traefik can run as another user.
        """
        before = os.umask(0o077)
        try:
            stored = store(volume, signer.certificate(NAME))
        finally:
            os.umask(before)

        for path in (volume.directory / NAME, volume.directory / ".certworker/live", stored.directory):
            assert 0o755 == stat.S_IMODE(path.stat().st_mode), path
        assert 0o644 == stat.S_IMODE((stored.directory / "fullchain.pem").stat().st_mode)

    def test_several_names_share_one_generation(self, volume: CertificateStore, signer: Signer) -> None:
        """
        All names of a certificate share one generation, so they have the same version.
        """
        names = ("a.example.com", "b.example.com")

        stored = store(volume, signer.certificate(*names))

        found = {name: content(volume.current(name)) for name in names}
        assert dict.fromkeys(names, content(stored)) == found

    def test_a_shared_certificate_is_read_once(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Names that share a certificate get the same object, because a read is slow.
        """
        shared, own = (
            store(volume, signer.certificate(NAME, f"www.{NAME}")),
            store(volume, signer.certificate("b")),
        )

        first, second, nothing, other = volume.current_many([NAME, f"www.{NAME}", "absent.example.com", "b"])

        assert (content(shared), content(own)) == (content(first), content(other))
        assert first is second
        assert nothing is None

    def test_a_generation_never_changes(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A new certificate leaves the files of the older generation unchanged.

        Traefik reads the chain and the key in two steps, and can be between them.
        """
        first = signer.certificate(NAME)
        stored = store(volume, first, token=1)

        store(volume, signer.certificate(NAME), token=2)

        assert first.fullchain_pem == (stored.directory / "fullchain.pem").read_bytes()
        assert first.key.pem == (stored.directory / "privkey.pem").read_bytes()


class TestCurrent:
    def test_the_current_certificate_is_the_stored_one(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        The stored certificate and its metadata are unchanged after they are read.
        """
        certificate = signer.certificate(NAME)

        stored = volume.store(certificate, authority="letsencrypt", kind="public", token=7)

        assert content(stored) == content(CertificateStore(volume.directory).current(NAME))
        assert stored.metadata == volume.metadata(NAME)
        assert (7, "letsencrypt", "public", certificate.not_after) == (
            stored.metadata.generation,
            stored.metadata.authority,
            stored.metadata.kind,
            stored.metadata.not_after,
        )
        assert 7 == volume.links.highest_token()

    def test_lost_metadata_is_derived_from_the_certificate(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A certificate with invalid metadata is still current, with metadata derived from the pair.
        """
        stored = store(volume, signer.certificate(NAME), token=7)
        (stored.directory / "meta.json").write_text("{")

        assert volume.metadata(NAME) is None
        current = volume.current(NAME)
        assert current
        assert (stored.certificate.serial, 7, "public") == (
            current.certificate.serial,
            current.metadata.generation,
            current.metadata.kind,
        )


class TestFilesOfOtherPrograms:
    def test_their_certificate_is_current(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A valid certificate of Appwrite's worker is current, and needs no new order.
        """
        certificate = signer.certificate(NAME)
        directory = write_plain_files(volume, NAME, certificate)

        current = volume.current(NAME)

        assert current
        assert (certificate.serial, directory) == (current.certificate.serial, current.directory)
        assert ("", "public", 0) == (
            current.metadata.authority,
            current.metadata.kind,
            current.metadata.generation,
        )
        assert [NAME] == list(volume.names())

    @pytest.mark.parametrize(
        ("issuer", "kind"),
        [
            ("(STAGING) Tenuous Tomato", "staging"),
            ("certworker development CA", "development"),
            ("R13", "public"),
        ],
    )
    def test_their_kind_is_derived_from_the_issuer(
        self, volume: CertificateStore, issuer: str, kind: str
    ) -> None:
        """
        The issuer's name determines the kind, so that a public certificate can replace a staging one.
        """
        write_plain_files(volume, NAME, Signer(issuer).certificate(NAME))

        current = volume.current(NAME)

        assert current
        assert kind == current.metadata.kind

    def test_a_stored_certificate_replaces_them(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A stored certificate replaces the plain files with links.
        """
        directory = write_plain_files(volume, NAME, signer.certificate(NAME))

        stored = store(volume, signer.certificate(NAME))

        assert content(stored) == content(volume.current(NAME))
        assert all((directory / file).is_symlink() for file in PEM_FILES)

    def test_newer_plain_files_are_current(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Plain files that replace the links are current. The next stored certificate replaces them again.
        """
        store(volume, signer.certificate(NAME), token=1)
        foreign = signer.certificate(NAME)
        write_plain_files(volume, NAME, foreign)

        current = volume.current(NAME)
        assert current
        assert foreign.serial == current.certificate.serial

        stored = store(volume, signer.certificate(NAME), token=2)
        assert content(stored) == content(volume.current(NAME))


class TestFencing:
    def test_a_late_worker_does_not_overwrite(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A worker with an older token cannot replace a newer certificate, and stores nothing.
        """
        newer = store(volume, signer.certificate(NAME), token=8)

        with pytest.raises(Fenced) as caught:
            store(volume, signer.certificate("other.example.com", NAME), token=7)

        assert "fs.fenced" == caught.value.code
        assert content(newer) == content(volume.current(NAME))
        assert volume.current("other.example.com") is None
        assert [newer.directory.name] == generations(volume)

    def test_the_highest_token_wins(self, volume: CertificateStore, signer: Signer) -> None:
        """
        If sixteen slots store at the same time, the certificate with the highest token is current.
        """
        certificates = {token: signer.certificate(NAME) for token in range(1, 17)}

        def publish(token: int) -> None:
            with suppress(Fenced):
                store(CertificateStore(volume.directory), certificates[token], token)

        threads = [threading.Thread(target=publish, args=(token,)) for token in certificates]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        current = volume.current(NAME)
        assert current
        assert certificates[16].serial == current.certificate.serial


class TestRemove:
    def test_plain_files_are_removed(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The files of other programs are removed with the name.
        """
        write_plain_files(volume, NAME, signer.certificate(NAME))

        volume.remove(NAME)

        assert volume.current(NAME) is None
        assert not (volume.directory / NAME).exists()

    def test_a_missing_name_is_no_failure(self, volume: CertificateStore) -> None:
        """
        The removal of a missing name succeeds.
        """
        volume.remove(NAME)

        assert [] == list(volume.names())


class TestPrune:
    def test_the_latest_generations_remain(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The three latest generations remain, because a reader can be between two files.
        """
        stored = [store(volume, signer.certificate(NAME), token=token) for token in range(1, 6)]

        volume.prune(served=())

        assert [each.directory.name for each in stored[2:]] == generations(volume)

    def test_without_an_old_generation_no_metadata_is_read(
        self, volume: CertificateStore, signer: Signer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        If each generation is in service, prune reads none, because a volume may have 100,000.
        """
        stored = store(volume, signer.certificate(NAME))
        volume.mark_published(stored)
        read = list[Path]()
        monkeypatch.setattr(CertificateMetadata, "read", read.append)

        volume.prune(served=())

        assert [] == read
        assert [stored.directory.name] == generations(volume)

    def test_a_served_generation_remains(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A generation that a file of Traefik names remains.
        """
        stored = [store(volume, signer.certificate(NAME), token=token) for token in range(1, 6)]

        volume.prune(served={stored[0].directory.name})

        assert [each.directory.name for each in (stored[0], *stored[2:])] == generations(volume)

    def test_a_generation_remains_for_each_of_its_names(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A generation remains as long as one of its names uses it.
        """
        shared = store(volume, signer.certificate(NAME, "other.example.com"), token=1)
        for token in range(2, 7):
            store(volume, signer.certificate(NAME), token=token)

        volume.prune(served=())

        assert content(shared) == content(volume.current("other.example.com"))
        assert 4 == len(generations(volume))

    def test_all_generations_of_a_removed_name_are_deleted(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        All generations of a removed name are deleted, with their keys.
        """
        for token in (1, 2):
            store(volume, signer.certificate(NAME), token=token)

        volume.remove(NAME)
        volume.prune(served=())

        assert ([], []) == (generations(volume), list(volume.names()))
        assert not os.path.lexists(volume.directory / NAME)

    def test_a_generation_of_a_newer_version_stays_alone(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        A generation that a newer version wrote stays, and the old generations of other names are removed.
        """
        newer = store(volume, signer.certificate("new.example.com"), token=9)
        for token in range(1, 6):
            volume.mark_published(store(volume, signer.certificate(NAME), token=token))
        volume.remove("new.example.com")
        make_newer(newer.directory)

        volume.prune(served=())

        found = generations(volume)
        assert (newer.directory.name, 4) == (found[-1], len(found))
        assert 3 == len(list(volume.issued("letsencrypt")))

    def test_a_stored_certificate_of_a_newer_version_stops_no_other_one(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        Other certificates are stored while one of a newer version is not yet marked as published.
        """
        newer = store(volume, signer.certificate("new.example.com"))
        make_newer(newer.directory)
        reopened = CertificateStore(volume.directory)

        stored = store(reopened, signer.certificate(NAME), token=2)
        assert [(NAME,)] == reopened.unpublished_sets()
        reopened.mark_published(stored)
        reopened.prune(served=())
        assert [newer.directory.name, stored.directory.name] == generations(volume)

    def test_a_generation_that_cannot_be_removed_stays_alone(
        self, volume: CertificateStore, signer: Signer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A generation that the disk does not remove is a failure, after the others were removed.
        """
        stored = [store(volume, signer.certificate(NAME), token=token) for token in range(1, 7)]
        for each in stored:
            volume.mark_published(each)
        broken = stored[1].directory
        rmtree = shutil.rmtree

        def refuse(path: Path) -> None:
            if path == broken:
                raise OSError(errno.EIO, "Input/output error")
            rmtree(path)

        monkeypatch.setattr(shutil, "rmtree", refuse)
        with pytest.raises(VolumeFault):
            volume.prune(served=())

        assert [each.directory.name for each in (stored[1], *stored[3:])] == generations(volume)

    def test_leftovers_of_a_crash_are_removed(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Incomplete generations, which have keys, and other leftovers are removed.
        """
        stored = store(volume, signer.certificate(NAME))
        path = stored.directory.parent
        (path / "0123456789abcdef.tmp").mkdir()
        (path / "0123456789abcdef.tmp/privkey.pem").write_text("half a key")
        (path / "fedcba9876543210.tmp").symlink_to("nowhere")
        (volume.directory / "00112233445566aa.probe.tmp").write_text("")

        CertificateStore(volume.directory, least_age_seconds=0).remove_leftovers()

        assert [stored.directory.name] == generations(volume)
        assert [] == list(volume.directory.glob("*.tmp"))

    def test_an_incomplete_generation_of_an_active_writer_remains(
        self, tmp_path: Path, signer: Signer
    ) -> None:
        """
        An incomplete generation remains while a writer holds the lock, and is removed afterwards.
        """
        volume = CertificateStore(tmp_path, timeout_seconds=0.05, least_age_seconds=0)
        stored = store(volume, signer.certificate(NAME))
        (stored.directory.parent / "0123456789abcdef.tmp").mkdir()

        with (tmp_path / ".certworker/building.lock").open("ab") as other:
            fcntl.flock(other, fcntl.LOCK_SH)
            volume.remove_leftovers()
            store(volume, signer.certificate(NAME), token=2)

        assert "0123456789abcdef.tmp" in generations(volume)
        volume.remove_leftovers()
        assert "0123456789abcdef.tmp" not in generations(volume)


class TestCheckWritable:
    def test_the_check_leaves_no_file(self, volume: CertificateStore) -> None:
        """
        The check, which precedes each order, leaves no file.
        """
        volume.directory.mkdir()

        volume.check_writable()

        assert [".certworker"] == sorted(path.name for path in volume.directory.iterdir())
        assert [] == generations(volume)

    def test_a_volume_of_another_user_is_reported_with_its_remedy(self, forbidden: Path) -> None:
        """
        The failure names the owner, and the remedy has the command that changes the owner.
        """
        with pytest.raises(VolumeReadOnly) as caught:
            CertificateStore(forbidden).check_writable()

        assert "Permission denied" in caught.value.message
        assert f"{forbidden} belongs to" in caught.value.message
        assert caught.value.remedy.endswith(f"-R {os.geteuid()} {forbidden}")
