"""
Tests of durable writes: files are complete or absent, have the given mode, and fail with a remedy.

tests/storage/test_power_loss.py tests that they survive a power cut.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from certworker.errors import CertworkerError
from certworker.errors.fs import VolumeFault, VolumeFull
from certworker.storage import durable
from tests.storage.trace import Trace

KEY, PUBLIC = 0o600, 0o644


def mode(path: Path) -> int:
    """
    Return the permissions of *path*.
    """
    return stat.S_IMODE(path.stat().st_mode)


class TestRead:
    def test_a_file_is_read_through_links_up_to_the_maximum_size(self, tmp_path: Path) -> None:
        """
        A file of exactly the maximum size is read, also through a link.
        """
        (tmp_path / "file").write_bytes(b"12345")
        (tmp_path / "link").symlink_to("file")

        assert b"12345" == durable.read(tmp_path / "link", 5)

    @pytest.mark.parametrize("kind", ["pipe", "socket", "device", "larger"])
    def test_another_file_is_refused_at_once(self, tmp_path: Path, kind: str) -> None:
        """
        A pipe, a socket, a device and a larger file are refused, without a blocking read.
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

    def test_a_missing_file_and_a_directory_have_their_own_exceptions(self, tmp_path: Path) -> None:
        """
        A missing file and a directory raise the exceptions of Python, which callers distinguish.
        """
        for path, error in ((tmp_path / "absent", FileNotFoundError), (tmp_path, IsADirectoryError)):
            with pytest.raises(error):
                durable.read(path, 5)


class TestWrite:
    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    @pytest.mark.parametrize("wanted", [KEY, PUBLIC])
    def test_the_mode_does_not_depend_on_the_umask(self, tmp_path: Path, umask: int, wanted: int) -> None:
        """
        A file has the given mode, whatever the umask is.
        """
        before = os.umask(umask)
        try:
            durable.write(tmp_path / "file", b"content", wanted)
        finally:
            os.umask(before)

        assert (b"content", wanted) == ((tmp_path / "file").read_bytes(), mode(tmp_path / "file"))

    def test_an_open_file_does_not_change(self, tmp_path: Path) -> None:
        """
        A reader that opened the old file reads its old content.
        """
        file = tmp_path / "file"
        durable.write(file, b"old", PUBLIC)

        with file.open("rb") as reader:
            durable.write(file, b"new", KEY)
            assert reader.read() == b"old"

        assert (b"new", KEY) == (file.read_bytes(), mode(file))

    def test_the_temporary_file_can_be_in_another_directory(self, tmp_path: Path) -> None:
        """
        With *via*, the temporary file is in that directory, so that a watcher sees only one event.
        """
        watched, via = tmp_path / "watched", tmp_path / "via"
        via.mkdir()

        with pytest.raises(VolumeFault):
            durable.write(watched / "file", b"content", PUBLIC, via=via)
        assert [] == list(via.iterdir())

        watched.mkdir()
        durable.write(watched / "file", b"content", PUBLIC, via=via)
        assert ([], ["file"]) == (list(via.iterdir()), [path.name for path in watched.iterdir()])

    def test_no_temporary_file_remains_after_a_failure(self, tmp_path: Path) -> None:
        """
        A failed write removes its temporary file, which can be a part of a key.
        """
        (tmp_path / "file").mkdir()

        with pytest.raises(VolumeFault):
            durable.write(tmp_path / "file", b"content", KEY)

        assert ["file"] == [path.name for path in tmp_path.iterdir()]


class TestWriteAll:
    def test_files_before_a_failure_remain(self, tmp_path: Path) -> None:
        """
        The files that were written before a failure are complete and remain.
        """
        (tmp_path / "b").mkdir()
        contents = dict.fromkeys(("a", "b", "c"), b"new")

        with pytest.raises(VolumeFault):
            durable.write_all(tmp_path, contents, 0o644, via=tmp_path)

        assert ["a", "b"] == sorted(path.name for path in tmp_path.iterdir())
        assert b"new" == (tmp_path / "a").read_bytes()


class TestWriteDirectory:
    def test_the_directory_has_all_its_files(self, tmp_path: Path) -> None:
        """
        The directory has each file with its mode, and no temporary file remains.
        """
        durable.write_directory(tmp_path / "new", {"a": (b"public", PUBLIC), "b": (b"key", KEY)})

        assert ["new"] == [path.name for path in tmp_path.iterdir()]
        assert {"a": PUBLIC, "b": KEY} == {path.name: mode(path) for path in (tmp_path / "new").iterdir()}

    def test_an_incomplete_directory_does_not_appear(self, tmp_path: Path) -> None:
        """
        If one file cannot be written, the directory does not appear.
        """
        with pytest.raises(VolumeFault):
            durable.write_directory(tmp_path / "new", {"a": (b"", PUBLIC), "b" * 300: (b"", PUBLIC)})

        assert [] == list(tmp_path.iterdir())

    def test_an_existing_directory_is_not_changed(self, tmp_path: Path) -> None:
        """
        A write to an existing directory fails and changes nothing.
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
    def test_a_link_replaces_an_existing_file(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        """
        The link replaces a file or an older link, if there is one.
        """
        make(tmp_path / "link")

        durable.link(tmp_path / "link", "target")

        assert [tmp_path / "link"] == list(tmp_path.iterdir())
        assert Path("target") == (tmp_path / "link").readlink()


class TestMakeDirectory:
    def test_missing_parents_are_created(self, tmp_path: Path) -> None:
        """
        The directory and its parents are created with the given mode, whatever the umask is.
        """
        before = os.umask(0o077)
        try:
            durable.make_directory(tmp_path / "a/b")
            durable.make_directory(tmp_path / "a/state", 0o700)
        finally:
            os.umask(before)

        assert [0o755, 0o755, 0o700] == [mode(tmp_path / path) for path in ("a", "a/b", "a/state")]

    def test_a_permanent_directory_is_synced_once(self, tmp_path: Path) -> None:
        """
        A process syncs the name of an existing directory at least once, because its maker may have crashed.
        """
        (tmp_path / "a").mkdir()
        trace = Trace(tmp_path.parent)

        with trace.recording():
            durable.make_directory(tmp_path / "a", once=True)
            durable.make_directory(tmp_path / "a", once=True)

        assert [tmp_path.name] == [effect.path for effect in trace.effects if effect.verb == "fsync"]

    def test_a_permanent_directory_that_was_removed_is_made_again(self, tmp_path: Path) -> None:
        """
        A directory that was removed nevertheless is made again, and its name is synced.
        """
        durable.make_directory(tmp_path / "a", once=True)
        (tmp_path / "a").rmdir()
        trace = Trace(tmp_path.parent)

        with trace.recording():
            durable.make_directory(tmp_path / "a", once=True)

        assert (tmp_path / "a").is_dir()
        assert "fsync" in [effect.verb for effect in trace.effects]

    @pytest.mark.parametrize("fails", [True, False])
    def test_a_permanent_directory_is_synced_again_only_after_a_failed_block(
        self, tmp_path: Path, fails: bool
    ) -> None:
        """
        A block that fails syncs nothing, so the next call syncs the name of the directory.
        """
        with suppress(ZeroDivisionError), durable.syncing_together():
            durable.make_directory(tmp_path / "a", once=True)
            if fails:
                raise ZeroDivisionError
        trace = Trace(tmp_path.parent)

        with trace.recording():
            durable.make_directory(tmp_path / "a", once=True)

        synced = [effect.path for effect in trace.effects if effect.verb == "fsync"]
        assert synced == [tmp_path.name] * fails

    def test_the_mode_of_an_existing_directory_does_not_change(self, tmp_path: Path) -> None:
        """
        The mode of an existing directory, which the operator can choose, does not change.
        """
        (tmp_path / "a").mkdir(0o750)

        durable.make_directory(tmp_path / "a")

        assert mode(tmp_path / "a") == 0o750


class TestRemove:
    @pytest.mark.parametrize(
        "make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("/"), lambda _path: None]
    )
    def test_any_kind_of_file_is_removed(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        """
        A directory, a file or a link is removed. The target of a link remains.
        """
        make(tmp_path / "it")

        durable.remove(tmp_path / "it")

        assert [] == list(tmp_path.iterdir())


class TestTranslateOsErrors:
    def test_a_full_disk_is_a_failure(self, tmp_path: Path) -> None:
        """
        A full disk, as the device /dev/full simulates it, raises VolumeFull.
        """
        with (
            pytest.raises(VolumeFull) as caught,
            durable.translate_os_errors(tmp_path),
            Path("/dev/full").open("wb", buffering=0) as full,
        ):
            full.write(b"content")

        assert "No space left on device" in caught.value.message

    def test_the_failure_names_the_owner(self, forbidden: Path) -> None:
        """
        The failure names the user of the process and the owner of the directory.
        """
        with pytest.raises(CertworkerError) as caught:
            durable.write(forbidden / "file", b"content", PUBLIC)

        owner = forbidden.stat()
        assert caught.value.code == "fs.readonly"
        assert f"uid {os.geteuid()}" in caught.value.message
        assert f"{forbidden} belongs to {owner.st_uid}:{owner.st_gid}" in caught.value.message
