"""
The files that Traefik reads: one for each name, changed atomically, and only if something changed.
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


def publish(volume: CertificateStore, signer: Signer, *names: str, token: int = 1) -> StoredCertificate:
    """
    Store a new certificate on the volume.
    """
    return volume.store(
        signer.certificate(*names or (NAME,)), authority="letsencrypt", kind="public", token=token
    )


def listed(directory: Path) -> list[str]:
    """
    Return the events that a watcher of *directory* gets.
    """
    return sorted(path.name for path in directory.iterdir())


class TestServe:
    def test_the_file_names_the_generation(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        The paths in the file never change their contents, which is safe for a reader of two files.
        """
        stored = publish(volume, signer)

        assert traefik.publish(stored)

        file = traefik.directory / f"{NAME}.yml"
        [pair] = yaml.safe_load(file.read_bytes())["tls"]["certificates"]
        assert {
            "certFile": f"{stored.directory}/fullchain.pem",
            "keyFile": f"{stored.directory}/privkey.pem",
        } == pair
        assert 0o644 == stat.S_IMODE(file.stat().st_mode)

    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
    def test_the_certificate_of_an_address_is_the_default_one_too(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer, address: str
    ) -> None:
        """
        A client of an IP address sends no name, and Traefik would compare the address of its container.
        """
        stored = publish(volume, signer, address)

        assert traefik.publish(stored)

        tls = yaml.safe_load((traefik.directory / f"{address}.yml").read_bytes())["tls"]
        assert tls["certificates"] == [tls["stores"]["default"]["defaultCertificate"]]
        assert stored.directory / "fullchain.pem" == Path(tls["certificates"][0]["certFile"])
        assert [address] == list(volume.names())

    def test_the_file_of_a_wildcard_has_no_star(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        Its name is that of the directory on the volume.
        """
        wildcard = f"*.{NAME}"
        stored = publish(volume, signer, wildcard)

        assert traefik.publish(stored)

        assert [f"_.{NAME}.yml"] == [file for file in listed(traefik.directory) if file.endswith(".yml")]
        assert traefik.serves(wildcard, stored.metadata)
        assert {} == traefik.repair({wildcard: stored.directory})
        traefik.remove(wildcard)
        assert not (traefik.directory / f"_.{NAME}.yml").exists()

    def test_nothing_else_is_in_the_watched_directory(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        Each event makes Traefik read everything again.
        """
        traefik.publish(publish(volume, signer))

        assert [".certworker", f"{NAME}.yml"] == listed(traefik.directory)
        assert ["lock", "writing.lock"] == listed(traefik.directory / ".certworker")

    def test_a_file_that_says_it_already_is_left_alone(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        Two checks a day of 50,000 names cause no event.
        """
        stored = publish(volume, signer)
        traefik.publish(stored)
        before = (traefik.directory / f"{NAME}.yml").stat()

        assert not traefik.publish(stored)

        assert before == (traefik.directory / f"{NAME}.yml").stat()

    def test_each_name_has_its_file(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        All files lead to the same generation, and a lost one is written without the others.
        """
        stored = publish(volume, signer, "a.example.com", "b.example.com")
        traefik.publish(stored)
        files = [traefik.directory / "a.example.com.yml", traefik.directory / "b.example.com.yml"]
        assert files[0].read_bytes() == files[1].read_bytes()
        before = files[0].stat()

        files[1].unlink()
        assert traefik.publish(stored)

        assert files[0].read_bytes() == files[1].read_bytes()
        assert before == files[0].stat()

    def test_a_broken_file_is_replaced(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        One invalid file stops Traefik from reading the whole directory.
        """
        stored = publish(volume, signer)
        traefik.directory.mkdir()
        (traefik.directory / f"{NAME}.yml").write_bytes(b"\xff\x00{{ env")

        assert traefik.publish(stored)

        assert yaml.safe_load((traefik.directory / f"{NAME}.yml").read_bytes())

    def test_the_longest_name_has_a_file(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        A name may have 253 characters and a file name 255, so `.yml` would be too long.
        """
        names = [".".join(["a" * 49] * 5) + ending for ending in (".abc", ".abd")]
        for name in names:
            traefik.publish(publish(volume, signer, name))

        assert 3 == len(listed(traefik.directory))
        for name in names:
            traefik.remove(name)
        assert [".certworker"] == listed(traefik.directory)

    def test_a_path_that_is_a_template_is_refused(
        self, tmp_path: Path, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        Traefik would run `{{ env "SECRET" }}`: it renders templates before it parses the YAML.
        """
        stored = publish(CertificateStore(tmp_path / '{{ env "HOME" }}'), signer)

        with pytest.raises(ValueError, match="template"):
            traefik.publish(stored)

        assert not traefik.directory.exists()

    def test_a_late_worker_does_not_overwrite(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        A worker may be frozen between the volume and this file, too.
        """
        older, newer = publish(volume, signer, token=3), publish(volume, signer, token=4)
        traefik.publish(newer)

        with pytest.raises(Fenced):
            traefik.publish(older)

        assert not traefik.publish(newer)

    def test_a_file_from_before_a_restored_backup_forbids_nothing(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        A file that leads to a missing generation does not count, whatever its token.
        """
        gone = publish(volume, signer, token=9)
        traefik.publish(gone)
        volume.remove(NAME)
        volume.prune(served=())

        assert traefik.publish(publish(volume, signer, token=2))


class TestServed:
    def test_it_knows_every_file(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        A person may have written a file that names a generation of certworker.
        """
        first, second, third = (publish(volume, signer, token=token) for token in (1, 2, 3))
        traefik.publish(third)
        (traefik.directory / "mine.toml").write_text(
            f'[[tls.certificates]]\ncertFile = "{first.directory}/fullchain.pem"\n'
        )
        (traefik.directory / "note.txt").write_text(f"{second.directory}/fullchain.pem")
        (traefik.directory / "broken.yml").write_bytes(b"\xff\xfe{{")
        (traefik.directory / "directory.yml").mkdir()

        assert {first.directory.name, third.directory.name} == traefik.served_generations()

    def test_an_absent_directory_serves_nothing(self, traefik: TraefikConfig) -> None:
        """
        Reading does not fail before the first certificate.
        """
        assert set() == traefik.served_generations()


class TestFilesOfOthers:
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
    def test_no_content_of_a_file_raises_an_unexpected_error(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer, content: bytes
    ) -> None:
        """
        All other methods work, and the file is replaced once the name gets a certificate.
        """
        traefik.directory.mkdir()
        (traefik.directory / f"{NAME}.yml").write_bytes(content)

        assert traefik.files(NAME) is None
        assert set() == traefik.served_generations()
        traefik.broken()
        traefik.dangling()
        assert traefik.publish(publish(volume, signer))

    def test_a_named_pipe_blocks_no_worker(self, traefik: TraefikConfig) -> None:
        """
        A named pipe is no configuration.
        """
        traefik.directory.mkdir()
        os.mkfifo(traefik.directory / "pipe.yml")

        assert (set(), []) == (traefik.served_generations(), traefik.dangling())


class TestRemoveLeftovers:
    def test_leftovers_of_a_crash_are_removed(self, traefik: TraefikConfig) -> None:
        """
        Traefik never reads leftovers, and the next cleaning removes them.
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
        Nothing is ordered that could not be put into service.
        """
        with pytest.raises(VolumeReadOnly) as caught:
            TraefikConfig(forbidden).check_writable()

        assert f"uid {os.geteuid()}" in caught.value.message

    def test_it_does_not_wake_traefik(self, traefik: TraefikConfig) -> None:
        """
        The check writes outside the watched directory.
        """
        traefik.directory.mkdir()

        traefik.check_writable()

        assert [".certworker"] == listed(traefik.directory)
        assert ["writing.lock"] == listed(traefik.directory / ".certworker")


class TestServeAgain:
    def test_files_that_say_the_same_are_written_once_more(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        Traefik may have missed the first event.
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
    def test_one_file_that_cannot_be_read_is_found(
        self, traefik: TraefikConfig, file: str, content: bytes
    ) -> None:
        """
        Such a file makes Traefik ignore the certificates of all others.
        """
        traefik.directory.mkdir()
        (traefik.directory / file).write_bytes(content)

        (failure,) = traefik.broken()
        assert "proxy.yaml_broken" == failure.code
        assert f"mv {traefik.directory / file} " in failure.remedy

    def test_what_traefik_can_read_is_no_complaint(
        self, volume: CertificateStore, traefik: TraefikConfig, signer: Signer
    ) -> None:
        """
        Files with templates, and files that Traefik does not load, are not reported.
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
