"""
Tests of the content of the file of a name.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from certworker.traefik.file_format import (
    configuration,
    damage_of,
    file_name_of,
    generations_in,
    is_outdated,
    missing_in,
    pair_in,
    reason_to_fail,
)
from certworker.traefik.shards import render, shard_file


def generation(volume: Path, token: int) -> Path:
    """
    Make the directory of a generation.
    """
    directory = volume / f".certworker/generations/{token:012d}-0000000a"
    directory.mkdir(parents=True)
    return directory


class TestConfiguration:
    @pytest.mark.parametrize("place", ["/storage", "/a b: c/#d", "/öffentlich", "/x" * 60])
    def test_every_path_is_read_again(self, place: str) -> None:
        """
        Traefik reads the paths of the pair, also with characters that YAML quotes.
        """
        content = configuration(Path(place), address=False)

        pair = {"certFile": f"{place}/fullchain.pem", "keyFile": f"{place}/privkey.pem"}
        assert {"tls": {"certificates": [pair]}} == yaml.safe_load(content)
        assert yaml.safe_dump({"tls": {"certificates": [pair]}}).encode() == content
        assert (Path(pair["certFile"]), Path(pair["keyFile"])) == pair_in(content)

    @pytest.mark.parametrize("address", [True, False])
    def test_a_template_is_rejected(self, *, address: bool) -> None:
        """
        Traefik would render a path with a Go template.
        """
        with pytest.raises(ValueError, match="template"):
            configuration(Path("/{{ env }}"), address=address)


class TestFileNameOf:
    def test_long_names_have_short_files(self) -> None:
        """
        Each name has its own file name, which a file system accepts.
        """
        long = [f"{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 55}.{end}" for end in ("com", "net")]

        assert ("_.example.com.yml", 2) == (file_name_of("*.example.com"), len(set(map(file_name_of, long))))
        assert max(len(file_name_of(name)) for name in long) <= 255


class TestDamage:
    def test_each_kind_of_damage(self, tmp_path: Path) -> None:
        """
        A wrong file is missing, unreadable, changed, or leads elsewhere.
        """
        content = configuration(tmp_path / "1", address=False)
        other = configuration(tmp_path / "2", address=False)
        found = [b"", b"tls: [", content + b"http: {}\n", other]

        assert ["missing", "unreadable", "changed", "elsewhere"] == [
            damage_of(each, content) for each in found
        ]

    def test_the_reason_is_the_one_of_the_parser(self) -> None:
        """
        Only content that Traefik cannot read has a reason.
        """
        assert reason_to_fail(Path("a.yml"), b"a: 1\n") is None
        assert "it is not UTF-8" == reason_to_fail(Path("a.yml"), b"\xff")
        assert "its top level is not a mapping" == reason_to_fail(Path("a.yml"), b"- a\n")
        assert "Invalid statement" in (reason_to_fail(Path("a.toml"), b"= 1") or "")


class TestGenerations:
    def test_an_older_generation_is_outdated(self, tmp_path: Path) -> None:
        """
        A content is outdated if another one names a later generation that exists, or if its own is gone.
        """
        first, second = (configuration(generation(tmp_path, token), address=False) for token in (1, 2))
        gone = configuration(tmp_path / ".certworker/generations/000000000003-0000000a", address=False)

        assert {"000000000001-0000000a"} == set(generations_in(first))
        assert is_outdated(first, second)
        assert not is_outdated(second, first)
        assert is_outdated(gone, first)
        assert not is_outdated(first, gone)

    def test_missing_certificates_are_named(self, tmp_path: Path) -> None:
        """
        The names of a file or a shard whose certificate does not exist are listed.
        """
        present = generation(tmp_path, 1)
        (present / "fullchain.pem").touch()
        contents = {"_.example.com": configuration(tmp_path / "gone", address=False)}
        contents["a.example.com"] = configuration(present, address=False)
        (tmp_path / shard_file("0")).write_bytes(render(contents))
        (tmp_path / "b.example.com.yml").write_bytes(contents["_.example.com"])

        assert ["*.example.com"] == missing_in(tmp_path / shard_file("0"))
        assert ["b.example.com"] == missing_in(tmp_path / "b.example.com.yml")

    @pytest.mark.parametrize(("exists", "missing"), [(False, ["192.0.2.1"]), (True, [])])
    def test_the_missing_certificate_of_an_ip_address_is_named(
        self, exists: bool, missing: list[str], tmp_path: Path
    ) -> None:
        """
        An IP address, whose file also sets the default certificate, is listed if its certificate is missing.
        """
        directory = generation(tmp_path, 1)
        if exists:
            (directory / "fullchain.pem").touch()
        file = tmp_path / "192.0.2.1.yml"
        file.write_bytes(configuration(directory, address=True))

        assert missing == missing_in(file)
