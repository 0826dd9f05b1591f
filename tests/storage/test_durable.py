"""
Files that are there completely or not at all, with the mode they should have, and failures with a remedy.

That they survive a power cut is proven in tests/storage/test_power_loss.py.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from certworker.errors import CertworkerError
from certworker.errors.fs import VolumeFault, VolumeFull
from certworker.storage import durable

KEY, PUBLIC = 0o600, 0o644


def mode(path: Path) -> int:
    """
    Return the permissions of *path*.
    """
    return stat.S_IMODE(path.stat().st_mode)


class TestRead:
    def test_a_file_is_read_through_links_up_to_the_size_that_the_caller_allows(self, tmp_path: Path) -> None:
        """
        A file of exactly that size is read.
        """
        (tmp_path / "file").write_bytes(b"12345")
        (tmp_path / "link").symlink_to("file")

        assert b"12345" == durable.read(tmp_path / "link", 5)

    @pytest.mark.parametrize("kind", ["pipe", "socket", "device", "larger"])
    def test_anything_else_is_refused_at_once(self, tmp_path: Path, kind: str) -> None:
        """
        A named pipe does not block the reader, and an endless device does not fill the memory.
        """
        path = tmp_path / "file"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "larger":
            path.write_bytes(b"123456")
        with socket.socket(socket.AF_UNIX) as server:
            if kind == "socket":
                server.bind(str(path))

            with pytest.raises(durable.UnsuitableFile):
                durable.read(path, 5)

    def test_what_is_missing_and_a_directory_raise_their_own_errors(self, tmp_path: Path) -> None:
        """
        Callers distinguish these from a file that cannot be read.
        """
        for path, error in ((tmp_path / "absent", FileNotFoundError), (tmp_path, IsADirectoryError)):
            with pytest.raises(error):
                durable.read(path, 5)


class TestWrite:
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    @pytest.mark.parametrize("wanted", [KEY, PUBLIC])
    def test_the_mode_does_not_depend_on_the_umask(self, tmp_path: Path, umask: int, wanted: int) -> None:
        """
        A key is private and a certificate readable, however the container was started.
        """
        before = os.umask(umask)
        try:
            durable.write(tmp_path / "file", b"content", wanted)
        finally:
            os.umask(before)

        assert (b"content", wanted) == ((tmp_path / "file").read_bytes(), mode(tmp_path / "file"))

    def test_a_reader_of_the_old_file_keeps_it(self, tmp_path: Path) -> None:
        """
        A reader that has opened the file reads it to its end.
        """
        file = tmp_path / "file"
        durable.write(file, b"old", PUBLIC)

        with file.open("rb") as reader:
            durable.write(file, b"new", KEY)
            assert reader.read() == b"old"

        assert (b"new", KEY) == (file.read_bytes(), mode(file))

    def test_the_temporary_file_is_elsewhere_if_wanted(self, tmp_path: Path) -> None:
        """
        A program that watches the directory sees one event only.
        """
        watched, via = tmp_path / "watched", tmp_path / "via"
        via.mkdir()

        with pytest.raises(VolumeFault):
            durable.write(watched / "file", b"content", PUBLIC, via=via)
        assert [] == list(via.iterdir())

        watched.mkdir()
        durable.write(watched / "file", b"content", PUBLIC, via=via)
        assert ([], ["file"]) == (list(via.iterdir()), [path.name for path in watched.iterdir()])

    def test_nothing_stays_behind_when_it_fails(self, tmp_path: Path) -> None:
        """
        A remaining temporary file would be half a key.
        """
        (tmp_path / "file").mkdir()

        with pytest.raises(VolumeFault):
            durable.write(tmp_path / "file", b"content", KEY)

        assert ["file"] == [path.name for path in tmp_path.iterdir()]


class TestWriteAll:
    def test_what_was_written_before_a_fault_stays(self, tmp_path: Path) -> None:
        """
        Each of the files is complete.
        """
        (tmp_path / "b").mkdir()
        contents = dict.fromkeys(("a", "b", "c"), b"new")

        with pytest.raises(VolumeFault):
            durable.write_all(tmp_path, contents, 0o644, via=tmp_path)

        assert ["a", "b"] == sorted(path.name for path in tmp_path.iterdir())
        assert b"new" == (tmp_path / "a").read_bytes()


class TestWriteDirectory:
    def test_it_has_all_its_files(self, tmp_path: Path) -> None:
        """
        Each file has its own mode, and no temporary file remains.
        """
        durable.write_directory(tmp_path / "new", {"a": (b"public", PUBLIC), "b": (b"key", KEY)})

        assert ["new"] == [path.name for path in tmp_path.iterdir()]
        assert {"a": PUBLIC, "b": KEY} == {path.name: mode(path) for path in (tmp_path / "new").iterdir()}

    def test_half_of_it_is_nothing(self, tmp_path: Path) -> None:
        """
        The second file cannot be written, so the first one does not appear either.
        """
        with pytest.raises(VolumeFault):
            durable.write_directory(tmp_path / "new", {"a": (b"", PUBLIC), "b" * 300: (b"", PUBLIC)})

        assert [] == list(tmp_path.iterdir())

    def test_one_that_is_there_is_not_touched(self, tmp_path: Path) -> None:
        """
        Directories of this kind never change.
        """
        durable.write_directory(tmp_path / "new", {"a": (b"first", PUBLIC)})

        with pytest.raises(VolumeFault):
            durable.write_directory(tmp_path / "new", {"a": (b"second", PUBLIC)})

        assert [tmp_path / "new"] == list(tmp_path.iterdir())
        assert (tmp_path / "new/a").read_bytes() == b"first"


class TestLink:
    @pytest.mark.parametrize(
        "make", [Path.touch, lambda path: path.symlink_to("nowhere"), lambda _path: None]
    )
    def test_it_takes_the_place_of_what_is_there(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        """
        The link replaces a file of another program, an older link, or nothing.
        """
        make(tmp_path / "link")

        durable.link(tmp_path / "link", "target")

        assert [tmp_path / "link"] == list(tmp_path.iterdir())
        assert Path("target") == (tmp_path / "link").readlink()


class TestMakeDirectory:
    def test_with_all_above_it(self, tmp_path: Path) -> None:
        """
        A narrow umask does not lock out the other containers.
        """
        before = os.umask(0o077)
        try:
            durable.make_directory(tmp_path / "a/b")
            durable.make_directory(tmp_path / "a/state", 0o700)
        finally:
            os.umask(before)

        assert [0o755, 0o755, 0o700] == [mode(tmp_path / path) for path in ("a", "a/b", "a/state")]

    def test_one_that_is_there_keeps_its_mode(self, tmp_path: Path) -> None:
        """
        The operator may have chosen the mode.
        """
        (tmp_path / "a").mkdir(0o750)

        durable.make_directory(tmp_path / "a")

        assert mode(tmp_path / "a") == 0o750


class TestRemove:
    @pytest.mark.parametrize(
        "make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("/"), lambda _path: None]
    )
    def test_whatever_it_is(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        """
        A link is removed, not its target.
        """
        make(tmp_path / "it")

        durable.remove(tmp_path / "it")

        assert [] == list(tmp_path.iterdir())


class TestTold:
    def test_a_full_disk(self, tmp_path: Path) -> None:
        """
        The full device of the kernel raises this error.
        """
        with (
            pytest.raises(VolumeFull) as caught,
            durable.translate_os_errors(tmp_path),
            Path("/dev/full").open("wb", buffering=0) as full,
        ):
            full.write(b"content")

        assert "No space left on device" in caught.value.message

    def test_the_failure_names_the_user_that_may_write(self, forbidden: Path) -> None:
        """
        The failure names the user of the process and the owner of the directory.
        """
        with pytest.raises(CertworkerError) as caught:
            durable.write(forbidden / "file", b"content", PUBLIC)

        owner = forbidden.stat()
        assert caught.value.code == "fs.readonly"
        assert f"uid {os.geteuid()}" in caught.value.message
        assert f"{forbidden} belongs to {owner.st_uid}:{owner.st_gid}" in caught.value.message
