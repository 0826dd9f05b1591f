"""
Tests of the files that Traefik reads.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import yaml

from certworker.errors.fs import Fenced, VolumeReadOnly
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.keypair import StoredCertificate
from certworker.traefik.config import TraefikConfig
from tests.storage.authority import Signer
from tests.storage.stored import NAME


def store_new(volume: CertificateStore, signer: Signer, *names: str, token: int = 1) -> StoredCertificate:
    """
    Store a new certificate for *names* on the volume.
    """
    return volume.store(
        signer.certificate(*names or (NAME,)), authority="letsencrypt", kind="public", token=token
    )


def listed(directory: Path) -> list[str]:
    """
    Return the names of the files in *directory*.
    """
    return sorted(path.name for path in directory.iterdir())


class TestPublish:
    def test_the_file_refers_to_the_generation(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        The paths in the file are those of a generation, whose files never change.
        """
        stored = store_new(volume, signer)

        assert traefik.publish(stored)

        file = traefik.directory / f"{NAME}.yml"
        [pair] = yaml.safe_load(file.read_bytes())["tls"]["certificates"]
        assert {
            "certFile": f"{stored.directory}/fullchain.pem",
            "keyFile": f"{stored.directory}/privkey.pem",
        } == pair
        assert 0o644 == stat.S_IMODE(file.stat().st_mode)

    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
    def test_the_certificate_of_an_address_is_also_the_default(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer, address: str
    ) -> None:
        """
        The certificate of an IP address is also the default one, because its clients send no name.
        """
        stored = store_new(volume, signer, address)

        assert traefik.publish(stored)

        tls = yaml.safe_load((traefik.directory / f"{address}.yml").read_bytes())["tls"]
        assert tls["certificates"] == [tls["stores"]["default"]["defaultCertificate"]]
        assert stored.directory / "fullchain.pem" == Path(tls["certificates"][0]["certFile"])
        assert [address] == list(volume.names())

    def test_the_file_of_a_wildcard_has_no_asterisk(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        The file of a wildcard has the name of its directory on the volume, without an asterisk.
        """
        wildcard = f"*.{NAME}"
        stored = store_new(volume, signer, wildcard)

        assert traefik.publish(stored)

        assert [f"_.{NAME}.yml"] == [file for file in listed(traefik.directory) if file.endswith(".yml")]
        assert traefik.serves(wildcard, stored.metadata)
        assert {} == traefik.repair({wildcard: stored.directory})
        traefik.remove(wildcard)
        assert not (traefik.directory / f"_.{NAME}.yml").exists()

    def test_the_watched_directory_has_no_other_file(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        The watched directory has no temporary files, because each event makes Traefik read all files.
        """
        traefik.publish(store_new(volume, signer))

        assert [".certworker", f"{NAME}.yml"] == listed(traefik.directory)
        assert ["lock", "writing.lock"] == listed(traefik.directory / ".certworker")

    def test_an_unchanged_file_is_not_written(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        A file that already refers to the certificate is not written, so that checks cause no event.
        """
        stored = store_new(volume, signer)
        traefik.publish(stored)
        before = (traefik.directory / f"{NAME}.yml").stat()

        assert not traefik.publish(stored)

        assert before == (traefik.directory / f"{NAME}.yml").stat()

    def test_each_name_has_its_file(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        The files of all names refer to the same generation. Only a missing one is written again.
        """
        stored = store_new(volume, signer, "a.example.com", "b.example.com")
        traefik.publish(stored)
        files = [traefik.directory / "a.example.com.yml", traefik.directory / "b.example.com.yml"]
        assert files[0].read_bytes() == files[1].read_bytes()
        before = files[0].stat()

        files[1].unlink()
        assert traefik.publish(stored)

        assert files[0].read_bytes() == files[1].read_bytes()
        assert before == files[0].stat()

    def test_an_invalid_file_is_replaced(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        An invalid file of the name, which makes Traefik ignore all files, is replaced.
        """
        stored = store_new(volume, signer)
        traefik.directory.mkdir()
        (traefik.directory / f"{NAME}.yml").write_bytes(b"\xff\x00{{ env")

        assert traefik.publish(stored)

        assert yaml.safe_load((traefik.directory / f"{NAME}.yml").read_bytes())

    def test_the_longest_name_has_a_file(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        The longest names, with which `.yml` exceeds the limit of a file name, have distinct files.
        """
        names = [".".join(["a" * 49] * 5) + ending for ending in (".abc", ".abd")]
        for name in names:
            traefik.publish(store_new(volume, signer, name))

        assert 3 == len(listed(traefik.directory))
        for name in names:
            traefik.remove(name)
        assert [".certworker"] == listed(traefik.directory)

    def test_a_path_with_a_template_is_refused(
        self, tmp_path: Path, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        A path with a template is refused, because Traefik renders templates before it parses the YAML.
        """
        stored = store_new(CertificateStore(tmp_path / '{{ env "HOME" }}'), signer)

        with pytest.raises(ValueError, match="template"):
            traefik.publish(stored)

        assert not traefik.directory.exists()

    def test_a_late_worker_does_not_overwrite(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        A worker with an older token cannot replace a newer file.
        """
        older, newer = store_new(volume, signer, token=3), store_new(volume, signer, token=4)
        traefik.publish(newer)

        with pytest.raises(Fenced):
            traefik.publish(older)

        assert not traefik.publish(newer)

    def test_a_file_of_a_missing_generation_is_replaced(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        A file that refers to a missing generation is replaced, whatever its token is.
        """
        gone = store_new(volume, signer, token=9)
        traefik.publish(gone)
        volume.remove(NAME)
        volume.prune(served=())

        assert traefik.publish(store_new(volume, signer, token=2))


class TestServedGenerations:
    def test_all_files_are_read(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        The result has the generations in all files that Traefik reads, also in those of other authors.
        """
        first, second, third = (store_new(volume, signer, token=token) for token in (1, 2, 3))
        traefik.publish(third)
        (traefik.directory / "mine.toml").write_text(
            f'[[tls.certificates]]\ncertFile = "{first.directory}/fullchain.pem"\n'
        )
        (traefik.directory / "note.txt").write_text(f"{second.directory}/fullchain.pem")
        (traefik.directory / "broken.yml").write_bytes(b"\xff\xfe{{")
        (traefik.directory / "directory.yml").mkdir()

        assert {first.directory.name, third.directory.name} == traefik.served_generations()

    def test_a_missing_directory_has_no_generation(self, traefik: TraefikConfig) -> None:
        """
        A missing directory has no generation, and reading it does not fail.
        """
        assert set() == traefik.served_generations()


class TestFilesOfOtherPrograms:
    @pytest.mark.parametrize(
        "content",
        [
            b"[" * 100_000,
            b"tls: 2001-99-99",
            b"tls: {certificates: [{certFile: 5, keyFile: [a]}]}",
            b"tls: {certificates: {}}",
            b"tls: !!python/object:os.system x",
            b"\x00",
        ],
        ids=range(6),
    )
    def test_invalid_content_causes_no_unexpected_error(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer, content: bytes
    ) -> None:
        """
        With any content of a file, all methods work, and the next certificate replaces the file.
        """
        traefik.directory.mkdir()
        (traefik.directory / f"{NAME}.yml").write_bytes(content)

        assert traefik.files(NAME) is None
        assert set() == traefik.served_generations()
        traefik.broken()
        traefik.dangling()
        assert traefik.publish(store_new(volume, signer))

    def test_a_named_pipe_blocks_no_worker(self, traefik: TraefikConfig) -> None:
        """
        A named pipe is not read.
        """
        traefik.directory.mkdir()
        os.mkfifo(traefik.directory / "pipe.yml")

        assert (set(), []) == (traefik.served_generations(), traefik.dangling())


class TestRemoveLeftovers:
    def test_leftovers_of_a_crash_are_removed(self, traefik: TraefikConfig) -> None:
        """
        Leftovers of a crash, which Traefik never reads, are removed after their minimum age.
        """
        leftover = traefik.directory / ".certworker/0123456789abcdef.tmp"
        leftover.parent.mkdir(parents=True)
        leftover.write_text("half a file")

        traefik.remove_leftovers()
        assert leftover.exists()
        TraefikConfig(traefik.directory, least_age_seconds=0).remove_leftovers()

        assert not leftover.exists()


class TestCheckWritable:
    def test_a_directory_of_another_user_is_reported(self, forbidden: Path) -> None:
        """
        An unwritable directory is reported, so that no certificate is ordered that cannot be served.
        """
        with pytest.raises(VolumeReadOnly) as caught:
            TraefikConfig(forbidden).check_writable()

        assert f"uid {os.geteuid()}" in caught.value.message

    def test_the_check_causes_no_event(self, traefik: TraefikConfig) -> None:
        """
        The check writes outside of the watched directory, so that Traefik does not reload.
        """
        traefik.directory.mkdir()

        traefik.check_writable()

        assert [".certworker"] == listed(traefik.directory)
        assert ["writing.lock"] == listed(traefik.directory / ".certworker")


class TestObservation:
    def test_each_publication_has_its_outcome_and_its_duration(
        self, volume: CertificateStore, signer: Signer, tmp_path: Path
    ) -> None:
        """
        The observer gets the outcome of each publication, also of one that fails.
        """
        seen: list[tuple[str, float]] = []
        traefik = TraefikConfig(tmp_path / "config", observe=lambda *each: seen.append(each))
        older, newer = (store_new(volume, signer, token=token) for token in (1, 2))
        for stored in (newer, newer):
            traefik.publish(stored)
        with pytest.raises(Fenced):
            traefik.publish(older)

        assert ["written", "unchanged", "failed"] == [outcome for outcome, _ in seen]
        assert all(0 <= seconds < 60 for _, seconds in seen)

    def test_each_burst_of_changes_is_a_reload(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        A burst for two names and a removal are two reloads. An unchanged file is none.
        """
        stored = store_new(volume, signer, NAME, f"www.{NAME}")
        traefik.publish(stored)
        traefik.publish(stored)
        traefik.remove(NAME)

        assert 2 == traefik.load.report()["reloads"]


class TestPublishAgain:
    def test_unchanged_files_are_written_on_request(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        With *again*, an unchanged file is written, because Traefik can have missed the first event.
        """
        stored = volume.store(signer.certificate("shop.example.org"), authority="a", kind="private", token=1)
        traefik.publish(stored)
        file = traefik.directory / "shop.example.org.yml"
        before = file.stat().st_ino

        assert not traefik.publish(stored)
        assert before == file.stat().st_ino
        assert traefik.publish(stored, again=True)
        assert before != file.stat().st_ino


class TestBroken:
    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("routes.yml", b"http:\n  routers: [\n"),
            ("routes.yaml", b"just a sentence"),
            ("routes.yml", b"\xff\xfe"),
            ("routes.toml", b"[http\n"),
        ],
    )
    def test_an_invalid_file_is_reported(self, traefik: TraefikConfig, file: str, content: bytes) -> None:
        """
        An invalid file, which makes Traefik ignore all others, is reported with the command that moves it.
        """
        traefik.directory.mkdir()
        (traefik.directory / file).write_bytes(content)

        (failure,) = traefik.broken()
        assert "proxy.yaml_broken" == failure.code
        assert f"mv {traefik.directory / file} " in failure.remedy

    def test_a_file_that_traefik_reads_is_not_reported(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        Valid files, files with templates and files that Traefik does not load are not reported.
        """
        names = ["shop.example.org", "192.0.2.1"]
        for token, name in enumerate(names, start=1):
            traefik.publish(
                volume.store(signer.certificate(name), authority="a", kind="private", token=token)
            )
        for file, content in {
            "empty.yml": "",
            "routes.yml": "http: {}",
            "routes.toml": "[http]",
            "template.yml": "{{ range . }}:",
            "notes.txt": "[",
        }.items():
            (traefik.directory / file).write_text(content)

        assert [] == traefik.broken()
