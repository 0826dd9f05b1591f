"""
Tests of the layout of Traefik's directory: a file for each name, or shards.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from certworker.errors import CertworkerError
from certworker.storage import durable
from certworker.storage.certificate_store import CertificateStore
from certworker.traefik import layout as layout_module
from certworker.traefik import shard_change
from certworker.traefik.config import TraefikConfig
from certworker.traefik.layout import LayoutChoice
from certworker.traefik.shards import parse, shards_in
from tests.storage.authority import Signer
from tests.storage.stored import NAME

NAMES = [f"shop{number}.example.com" for number in range(12)]


@pytest.fixture
def directories(volume: CertificateStore, signer: Signer) -> dict[str, Path]:
    """
    Return the generation of each name on the volume.
    """
    stored = {name: signer.certificate(name) for name in NAMES}
    return {
        name: volume.store(each, authority="letsencrypt", kind="public", token=1).directory
        for name, each in stored.items()
    }


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Let `auto` write shards above ten names, and a shard have at most four.
    """
    monkeypatch.setattr(layout_module, "MOST_FILES", 10)
    monkeypatch.setattr(layout_module, "FEW_NAMES", 8)
    monkeypatch.setattr(shard_change, "LARGEST_SHARD", 4)


def configured(directory: Path, choice: LayoutChoice) -> TraefikConfig:
    """
    Return the files of Traefik as a worker with this setting sees them.
    """
    return TraefikConfig(directory, layout=choice)


def files(directory: Path) -> list[str]:
    """
    Return the names of the files that Traefik reads.
    """
    return sorted(file.name for file in directory.glob("*.yml"))


def pairs(directory: Path) -> list[Path]:
    """
    Return the directory of each certificate that Traefik serves, as often as it is named.
    """
    found = [yaml.safe_load(file.read_bytes())["tls"]["certificates"] for file in directory.glob("*.yml")]
    return sorted(Path(pair["certFile"]).parent for each in found for pair in each)


class TestAuto:
    def test_many_names_are_in_shards(self, tmp_path: Path, directories: dict[str, Path]) -> None:
        """
        Above the number of names, all names move to shards, which have few names each.
        """
        traefik = configured(tmp_path / "config", "auto")
        traefik.repair(dict(list(directories.items())[:10]))
        assert [f"{name}.yml" for name in sorted(NAMES[:10])] == files(traefik.directory)

        traefik.repair(directories)

        assert sorted(directories.values()) == pairs(traefik.directory)
        shards = [parse(file.read_bytes()) or {} for file in traefik.directory.glob("*.yml")]
        assert len(shards) == len(shards_in(files(traefik.directory)))
        assert max(map(len, shards)) <= 4
        assert (12, [], []) == (traefik.size().certificates, traefik.broken(), traefik.dangling())

    def test_fewer_names_return_to_files_later(self, tmp_path: Path, directories: dict[str, Path]) -> None:
        """
        Below a lower number, each name has its own file again. Between the two numbers, nothing changes.
        """
        traefik = configured(tmp_path / "config", "auto")
        traefik.repair(directories)
        for name in NAMES[9:]:
            traefik.remove(name)
        traefik.repair(dict(list(directories.items())[:9]), complete=True)
        assert len(files(traefik.directory)) == len(shards_in(files(traefik.directory)))

        for name in NAMES[7:]:
            traefik.remove(name)
        left = dict(list(directories.items())[:7])
        assert {} == traefik.repair(left, complete=True)

        assert [f"{name}.yml" for name in NAMES[:7]] == files(traefik.directory)
        assert sorted(left.values()) == pairs(traefik.directory)

    def test_files_of_other_programs_do_not_count(self, tmp_path: Path, directories: dict[str, Path]) -> None:
        """
        Files of other programs are unchanged, and cause no shards.
        """
        traefik = configured(tmp_path / "config", "auto")
        traefik.directory.mkdir()
        for number in range(20):
            (traefik.directory / f"other{number}.yml").write_text("http: {}\n")
        traefik.repair(dict(list(directories.items())[:5]))
        assert 25 == len(files(traefik.directory))

        traefik.repair(directories, complete=True)

        assert 20 == len([file for file in files(traefik.directory) if file.startswith("other")])
        assert shards_in(files(traefik.directory))
        assert not [file for file in files(traefik.directory) if file.startswith("shop")]


class TestSharded:
    def test_a_renewal_changes_one_shard(
        self, tmp_path: Path, volume: CertificateStore, signer: Signer, directories: dict[str, Path]
    ) -> None:
        """
        A renewed certificate replaces its entry, and all other shards are unchanged.
        """
        traefik = configured(tmp_path / "config", "sharded")
        traefik.repair(directories)
        before = {file: file.read_bytes() for file in traefik.directory.glob("*.yml")}
        renewed = volume.store(signer.certificate(NAMES[3]), authority="letsencrypt", kind="public", token=2)

        assert traefik.publish(renewed)

        changed = [file for file, content in before.items() if file.read_bytes() != content]
        assert 1 == len(changed)
        assert sorted(before) == sorted(traefik.directory.glob("*.yml"))
        assert traefik.serves(NAMES[3], renewed.metadata)
        directory = renewed.directory
        assert (directory / "fullchain.pem", directory / "privkey.pem") == traefik.files(NAMES[3])
        assert not traefik.publish(renewed)

    def test_removed_names_leave_their_shard(self, tmp_path: Path, directories: dict[str, Path]) -> None:
        """
        A removed name has no entry. A shard without an entry is removed.
        """
        traefik = configured(tmp_path / "config", "sharded")
        traefik.repair(directories)
        for number, name in enumerate(NAMES):
            traefik.remove(name)
            assert sorted(directories[each] for each in NAMES[number + 1 :]) == pairs(traefik.directory)

        assert [] == files(traefik.directory)

    def test_an_address_has_its_own_file(
        self, tmp_path: Path, volume: CertificateStore, signer: Signer
    ) -> None:
        """
        The certificate of an IP address is also the default one, so it is not in a shard.
        """
        traefik = configured(tmp_path / "config", "sharded")
        traefik.publish(
            volume.store(signer.certificate("8.8.8.8", NAME), authority="x", kind="public", token=1)
        )

        assert "8.8.8.8.yml" in files(traefik.directory)
        assert 1 == len(shards_in(files(traefik.directory)))

    @pytest.mark.parametrize("damage", [b"tls: [", b"http: {}\n"], ids=["no YAML", "other content"])
    def test_a_changed_shard_is_written_again(
        self,
        tmp_path: Path,
        volume: CertificateStore,
        signer: Signer,
        directories: dict[str, Path],
        damage: bytes,
    ) -> None:
        """
        Until the next repair, a new certificate gets a file of its own instead of a changed shard.
        """
        traefik = configured(tmp_path / "config", "sharded")
        traefik.repair(directories)
        for shard in traefik.directory.glob("*.yml"):
            shard.write_bytes(damage)
        renewed = volume.store(signer.certificate(NAMES[0]), authority="x", kind="public", token=2)
        traefik.publish(renewed)
        assert f"{NAMES[0]}.yml" in files(traefik.directory)

        directories[NAMES[0]] = renewed.directory
        repaired = traefik.repair(directories, complete=True)

        assert dict.fromkeys(NAMES[1:], "missing") == repaired
        traefik.repair(directories, complete=True)
        assert sorted(directories.values()) == pairs(traefik.directory)
        assert len(files(traefik.directory)) == len(shards_in(files(traefik.directory)))

    def test_a_full_disk_leaves_the_old_places(
        self, tmp_path: Path, directories: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        If the shards cannot be written, the files of the names remain.
        """
        configured(tmp_path / "config", "per-name").repair(directories)
        traefik = configured(tmp_path / "config", "sharded")
        before = files(traefik.directory)

        def fail(*_arguments: object, **_options: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(durable, "_create", fail)
        with pytest.raises(CertworkerError):
            traefik.repair({**directories, "new.example.com": directories[NAMES[0]]}, complete=True)

        assert before == files(traefik.directory)


class TestPerName:
    @pytest.mark.parametrize("earlier", ["sharded", "auto"])
    def test_shards_become_files(
        self, tmp_path: Path, directories: dict[str, Path], earlier: LayoutChoice
    ) -> None:
        """
        After a change of the setting, the repair gives each name its file and removes the shards.
        """
        configured(tmp_path / "config", earlier).repair(directories)
        traefik = configured(tmp_path / "config", "per-name")

        assert {} == traefik.repair(directories, complete=True)

        assert [f"{name}.yml" for name in sorted(NAMES)] == files(traefik.directory)
        assert sorted(directories.values()) == pairs(traefik.directory)

    def test_a_renewal_leaves_no_old_entry(
        self, tmp_path: Path, volume: CertificateStore, signer: Signer, directories: dict[str, Path]
    ) -> None:
        """
        A worker with another setting leaves one place for each name.
        """
        configured(tmp_path / "config", "sharded").repair(directories)
        renewed = volume.store(signer.certificate(NAMES[0]), authority="x", kind="public", token=2)

        configured(tmp_path / "config", "per-name").publish(renewed)

        directories[NAMES[0]] = renewed.directory
        assert sorted(directories.values()) == pairs(tmp_path / "config")
