"""
What readers of the volume find, before, during and after the replacement of a certificate.
"""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from certworker.errors.fs import Fenced, VolumeReadOnly
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.metadata import PEM_FILES
from tests.storage.authority import Signer
from tests.storage.stored import NAME, content, lay_plain_files, store


def generations(volume: CertificateStore) -> list[str]:
    """
    Return the names of all generations.
    """
    return sorted(path.name for path in (volume.directory / ".certworker/generations").iterdir())


class TestStore:
    def test_every_reader_finds_the_four_files(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Appwrite, a mail server and a backup know certbot's file names only.
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

    def test_keys_are_for_the_worker_alone(self, volume: CertificateStore, signer: Signer) -> None:
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

    def test_a_narrow_umask_does_not_lock_readers_out(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A hardened image runs with umask 077; Traefik and Appwrite may run as other users.
        """
        before = os.umask(0o077)
        try:
            stored = store(volume, signer.certificate(NAME))
        finally:
            os.umask(before)

        for place in (volume.directory / NAME, volume.directory / ".certworker/live", stored.directory):
            assert 0o755 == stat.S_IMODE(place.stat().st_mode), place
        assert 0o644 == stat.S_IMODE((stored.directory / "fullchain.pem").stat().st_mode)

    def test_several_names_share_one_generation(self, volume: CertificateStore, signer: Signer) -> None:
        """
        One certificate with several names is not served in two versions.
        """
        names = ("a.example.com", "b.example.com")

        stored = store(volume, signer.certificate(*names))

        found = {name: content(volume.current(name)) for name in names}
        assert dict.fromkeys(names, content(stored)) == found

    def test_what_names_share_is_read_once(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A certificate may have a hundred names, and reading it takes most of a millisecond.
        """
        shared, own = (
            store(volume, signer.certificate(NAME, f"www.{NAME}")),
            store(volume, signer.certificate("b")),
        )

        first, second, nothing, other = volume.current_many([NAME, f"www.{NAME}", "absent.example.com", "b"])

        assert (content(shared), content(own)) == (content(first), content(other))
        assert first is second
        assert nothing is None

    def test_a_generation_is_never_touched_again(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Traefik reads the chain and the key in two steps, and may be between them.
        """
        first = signer.certificate(NAME)
        stored = store(volume, first, token=1)

        store(volume, signer.certificate(NAME), token=2)

        assert first.fullchain_pem == (stored.directory / "fullchain.pem").read_bytes()
        assert first.key.pem == (stored.directory / "privkey.pem").read_bytes()


class TestCurrent:
    def test_it_is_what_was_stored(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The metadata is the same after reading it back: renewal depends on each field.
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

    def test_lost_facts_are_read_from_the_certificate(self, volume: CertificateStore, signer: Signer) -> None:
        """
        The pair counts; lost metadata does not cause a new order.
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


class TestFilesOfOthers:
    def test_they_are_in_service(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A certificate of Appwrite's worker is valid; a new order would use up a weekly limit.
        """
        certificate = signer.certificate(NAME)
        directory = lay_plain_files(volume, NAME, certificate)

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
    def test_their_kind_is_known_by_the_issuer(
        self, volume: CertificateStore, issuer: str, kind: str
    ) -> None:
        """
        A forgotten staging certificate does not stop a public one from replacing it.
        """
        lay_plain_files(volume, NAME, Signer(issuer).certificate(NAME))

        current = volume.current(NAME)

        assert current
        assert kind == current.metadata.kind

    def test_ours_takes_their_place(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Afterwards one rename switches all four files, as for any other name.
        """
        directory = lay_plain_files(volume, NAME, signer.certificate(NAME))

        stored = store(volume, signer.certificate(NAME))

        assert content(stored) == content(volume.current(NAME))
        assert all((directory / file).is_symlink() for file in PEM_FILES)

    def test_theirs_are_the_truth_when_they_come_back(self, volume: CertificateStore, signer: Signer) -> None:
        """
        After a return to the old worker its new files are served, not the older generation.
        """
        store(volume, signer.certificate(NAME), token=1)
        theirs = signer.certificate(NAME)
        lay_plain_files(volume, NAME, theirs)

        current = volume.current(NAME)
        assert current
        assert theirs.serial == current.certificate.serial

        stored = store(volume, signer.certificate(NAME), token=2)
        assert content(stored) == content(volume.current(NAME))


class TestFencing:
    def test_a_late_worker_does_not_overwrite(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A worker that was frozen for an hour cannot replace a newer certificate.
        """
        newer = store(volume, signer.certificate(NAME), token=8)

        with pytest.raises(Fenced) as caught:
            store(volume, signer.certificate("other.example.com", NAME), token=7)

        assert "fs.fenced" == caught.value.code
        assert content(newer) == content(volume.current(NAME))
        assert volume.current("other.example.com") is None
        assert [newer.directory.name] == generations(volume)

    def test_writers_come_one_after_another(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Sixteen slots publish at the same time; the highest token wins, whatever the sequence.
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
    def test_files_of_others_go_as_well(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Certificates of other programs are in service, too.
        """
        lay_plain_files(volume, NAME, signer.certificate(NAME))

        volume.remove(NAME)

        assert volume.current(NAME) is None
        assert not (volume.directory / NAME).exists()

    def test_what_is_not_there_is_no_failure(self, volume: CertificateStore) -> None:
        """
        Appwrite may have deleted the directory before.
        """
        volume.remove(NAME)

        assert [] == list(volume.names())


class TestPrune:
    def test_the_last_few_stay(self, volume: CertificateStore, signer: Signer) -> None:
        """
        A reader may be between two files of the previous generation, but not of the tenth before.
        """
        stored = [store(volume, signer.certificate(NAME), token=token) for token in range(1, 6)]

        volume.prune(served=())

        assert [each.directory.name for each in stored[2:]] == generations(volume)

    def test_what_traefik_names_stays(self, volume: CertificateStore, signer: Signer) -> None:
        """
        If the proxy's file could not be renewed for a time, its certificate is still needed.
        """
        stored = [store(volume, signer.certificate(NAME), token=token) for token in range(1, 6)]

        volume.prune(served={stored[0].directory.name})

        assert [each.directory.name for each in (stored[0], *stored[2:])] == generations(volume)

    def test_a_generation_shared_by_names_stays_for_each(
        self, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        One name of the set got certificates of its own; the others still use the shared one.
        """
        shared = store(volume, signer.certificate(NAME, "other.example.com"), token=1)
        for token in range(2, 7):
            store(volume, signer.certificate(NAME), token=token)

        volume.prune(served=())

        assert content(shared) == content(volume.current("other.example.com"))
        assert 4 == len(generations(volume))

    def test_nothing_of_a_removed_name_stays(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Its keys are secrets that are not needed any more.
        """
        for token in (1, 2):
            store(volume, signer.certificate(NAME), token=token)

        volume.remove(NAME)
        volume.prune(served=())

        assert ([], []) == (generations(volume), list(volume.names()))
        assert not os.path.lexists(volume.directory / NAME)

    def test_leftovers_of_a_crash_are_removed(self, volume: CertificateStore, signer: Signer) -> None:
        """
        Half-built generations hold keys; each crash would add one.
        """
        stored = store(volume, signer.certificate(NAME))
        place = stored.directory.parent
        (place / "0123456789abcdef.tmp").mkdir()
        (place / "0123456789abcdef.tmp/privkey.pem").write_text("half a key")
        (place / "fedcba9876543210.tmp").symlink_to("nowhere")
        (volume.directory / "00112233445566aa.probe.tmp").write_text("")

        CertificateStore(volume.directory, least_age_seconds=0).remove_leftovers()

        assert [stored.directory.name] == generations(volume)
        assert [] == list(volume.directory.glob("*.tmp"))

    def test_what_is_being_built_is_no_leftover(self, tmp_path: Path, signer: Signer) -> None:
        """
        A worker on another host may be writing it; the next pass removes it.
        """
        volume = CertificateStore(tmp_path, patience_seconds=0.05, least_age_seconds=0)
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
    def test_it_leaves_nothing_behind(self, volume: CertificateStore) -> None:
        """
        The check runs before each order.
        """
        volume.directory.mkdir()

        volume.check_writable()

        assert [".certworker"] == sorted(path.name for path in volume.directory.iterdir())
        assert [] == generations(volume)

    def test_a_volume_of_another_user_is_reported_with_its_remedy(self, forbidden: Path) -> None:
        """
        Appwrite's worker ran as root; the remedy has the command that changes the owner.
        """
        with pytest.raises(VolumeReadOnly) as caught:
            CertificateStore(forbidden).check_writable()

        assert "Permission denied" in caught.value.message
        assert f"{forbidden} belongs to" in caught.value.message
        assert caught.value.remedy.endswith(f"-R {os.geteuid()} {forbidden}")
