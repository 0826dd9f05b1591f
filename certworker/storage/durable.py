"""
Writes files that survive a power cut: write, fsync, rename, fsync of the directory, in this order.

A rename is atomic for readers. After a power cut, however, a renamed file may be empty, and a completed
rename may be lost. An fsync of the file before the rename, and of the directory after it, prevents both
(fsync(2), rename(2)). These functions write the certificates, the keys, the configuration and the state.

They raise the failures `fs.readonly`, `fs.full` and `fs.io` of :mod:`certworker.errors.fs`. Only :func:`read`
raises OSError. :func:`create` and :func:`write_unsynced` are faster and guarantee less.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from itertools import chain
from pathlib import Path

from certworker.errors.fs import VolumeFault, VolumeFull, VolumeReadOnly
from certworker.storage.concurrent_sync import sync

#: The extension of temporary files, which neither Traefik nor Appwrite loads.
TEMPORARY = ".tmp"

#: A disk with less free space than this counts as full. A certificate takes about 20 kB.
MIN_FREE_BYTES = 10_000_000

#: The maximum number of files of a new directory that are open, and synced, at the same time.
BATCH = 64

#: The mode of directories: other users may read certificates, chains and configuration.
PUBLIC_DIRECTORY = 0o755

#: The directories whose names :func:`make_directory` has already synced with *once*.
_synced: set[Path] = set()

#: The directories that the current :func:`syncing_together` block syncs at its end. The values are the
#: directories in them whose names are then synced, for :data:`_synced`.
_deferred: ContextVar[dict[str, set[Path]] | None] = ContextVar("deferred", default=None)


class UnsuitableFile(OSError):
    """
    The path is a pipe, a socket or a device, or the file is too large.
    """


@contextmanager
def translate_os_errors(path: Path | str) -> Iterator[None]:
    """
    Raise each OSError from the block as a failure that names *path*.

    Raises:
        VolumeReadOnly: The file system is read-only, or the permission is missing.
        VolumeFull: There is no space, or the quota is used up.
        VolumeFault: Any other error.
    """
    try:
        yield
    except OSError as error:
        path, reason = Path(path), error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise VolumeFull(path=path, reason=reason) from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            directory, owner = _ownership(path)
            raise VolumeReadOnly(
                path=path, reason=reason, uid=os.geteuid(), directory=directory, owner=owner
            ) from error
        raise VolumeFault(path=path, reason=reason) from error


def read(path: Path, max_bytes: int) -> bytes:
    """
    Return the content of the regular file at *path*, which other programs may have put there.

    A named pipe, a device or an endless file cannot block the reader.

    Args:
        max_bytes: The maximum size of the file.

    Raises:
        UnsuitableFile: The file is larger than *max_bytes*, or it is a pipe, a socket or a device.
        OSError: The file is missing, is a directory, or cannot be read.
    """
    try:
        # Without O_NONBLOCK, the call waits at a named pipe until another program opens it for writing.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise UnsuitableFile(errno.EINVAL, "it is a socket") from error
        raise
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise UnsuitableFile(errno.EINVAL, "it is not a regular file")
        content = b""
        # Python allocates as many bytes as a call may read, so each call requests only the expected size.
        most = min(found.st_size, max_bytes) + 1
        while piece := os.read(descriptor, most):
            content += piece
            if len(content) > max_bytes:
                raise UnsuitableFile(errno.EFBIG, f"it has more than {max_bytes} bytes")
        return content
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes | Iterable[bytes], mode: int, via: Path | None = None) -> None:
    """
    Write *content* to *path* atomically: readers find the old file or the new one, never a part of it.

    Args:
        content: The content, or its parts.
        mode: The permissions, regardless of the umask.
        via: The directory for the temporary file, on the same file system; by default that of *path*. Use
            another one if a program watches the directory of *path*.
    """
    write_all(path.parent, {path.name: content}, mode, via or path.parent)


def write_all(directory: Path, contents: Mapping[str, bytes | Iterable[bytes]], mode: int, via: Path) -> None:
    """
    Write each of *contents* to *directory* under its name, as :func:`write` does. Sync the directory once.
    """
    for name, content in contents.items():
        path, temporary = f"{directory}/{name}", _temporary(via)
        with translate_os_errors(path):
            try:
                _create(temporary, content, mode)
                os.replace(temporary, path)
            except BaseException:
                _unlink(temporary)
                raise
    sync_directory(directory)


def create(path: Path, content: bytes, mode: int) -> None:
    """
    Remove an old file at *path*, and write *content*. Readers may find no file, or only a part of *content*.

    A failure or a power cut during the call may leave this state. The call takes half the time of
    :func:`write`: without a rename, the file and its directory are synced together.
    """
    with translate_os_errors(path):
        _unlink(str(path))
        opened = (partial(_created, path, content, mode), partial(_opened, path.parent))
        sync(each() for each in opened)


def write_unsynced(path: Path, content: bytes, mode: int, temporary: Path) -> None:
    """
    Write *content* to *path* atomically for readers. A power cut may remove or empty the file.

    Args:
        temporary: The path of the temporary file.
    """
    with translate_os_errors(path):
        try:
            os.close(_created(temporary, content, mode))
            os.replace(temporary, path)
        except BaseException:
            _unlink(str(temporary))
            raise


def write_directory(path: Path, files: Mapping[str, tuple[bytes, int]], *, also: Sequence[Path] = ()) -> None:
    """
    Make a new directory at *path* atomically: it appears with all of *files* in it.

    Args:
        files: The content and the mode of each file, by name.
        also: Other directories, which are synced before the directory appears.
    """
    temporary = _temporary(path.parent)
    with translate_os_errors(path):
        try:
            os.mkdir(temporary)
            os.chmod(temporary, PUBLIC_DIRECTORY)
            names = list(files)
            while names:
                batch, names = names[:BATCH], names[BATCH:]
                opened = (_created(f"{temporary}/{name}", *files[name]) for name in batch)
                sync(opened if names else chain(opened, map(_opened, (temporary, *map(str, also)))))
            os.rename(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(path.parent)


def move(path: Path, target: Path) -> None:
    """
    Rename *path*, written by one of these functions, to *target*; the caller calls :func:`sync_directory`.
    """
    with translate_os_errors(target):
        path.replace(target)


def link(path: Path, target: str, via: Path | None = None) -> None:
    """
    Make *path* a symbolic link to *target* atomically, and replace any file or link there.

    Args:
        via: As in :func:`write`.
    """
    links(path.parent, {path.name: target}, via or path.parent)


def links(directory: Path, targets: Mapping[str, str], via: Path) -> None:
    """
    Make a symbolic link in *directory* for each name of *targets*, and then sync the directory.
    """
    make_links(directory, targets, via)
    sync_directory(directory)


def make_links(directory: Path, targets: Mapping[str, str], via: Path) -> None:
    """
    Make links as :func:`links` does; the caller syncs *directory*.
    """
    for name, target in targets.items():
        path = f"{directory}/{name}"
        with translate_os_errors(path):
            try:
                os.symlink(target, path)
            except FileExistsError:
                _replace_with_link(path, target, _temporary(via))


def make_directory(path: Path, mode: int = PUBLIC_DIRECTORY, *, once: bool = False) -> None:
    """
    Make *path* and its missing parents; an existing directory keeps its mode.

    Args:
        mode: The permissions of *path*; its new parents have those of :data:`PUBLIC_DIRECTORY`.
        once: Whether this process syncs the name of the directory only once. Use this only for a directory
            that no program removes while workers are running.
    """
    with translate_os_errors(path):
        if not path.is_dir():
            if path.parent != path:
                make_directory(path.parent)
            path.mkdir(exist_ok=True)
            path.chmod(mode)
        elif once and path in _synced:
            return
        # Sync the name of an existing directory, too: a worker may have been killed before this line.
        sync_directory(path.parent)
    if once:
        deferred = _deferred.get()
        (_synced if deferred is None else deferred[str(path.parent)]).add(path)


def remove(path: Path) -> None:
    """
    Remove a file, a link or a whole directory, if it exists.
    """
    with translate_os_errors(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_directory(path.parent)


def check_writable(directory: Path) -> None:
    """
    Check that files can be written, renamed and removed in *directory*, and that there is enough space.

    Raises:
        VolumeReadOnly, VolumeFull, VolumeFault: The check failed.
    """
    probe = Path(_temporary(directory))
    with translate_os_errors(probe):
        space = os.statvfs(directory)
        # Some network file systems report 0 of 0 blocks.
        if space.f_blocks and space.f_bavail * space.f_frsize < MIN_FREE_BYTES:
            raise OSError(errno.ENOSPC, "less than 10 MB is free")
        if space.f_files and not space.f_favail:
            raise OSError(errno.ENOSPC, "no inode is free")
        renamed = probe.with_suffix(f".probe{TEMPORARY}")
        try:
            _create(probe, b"probe", 0o600)
            probe.replace(renamed)
        finally:
            # A write that fails on a full disk may leave an empty or incomplete file.
            for path in (probe, renamed):
                path.unlink(missing_ok=True)
        sync_directory(directory)


def check_permitted(directory: Path) -> None:
    """
    Check that this process may change *directory*. Nothing is changed, so a watching program gets no event.

    Raises:
        VolumeReadOnly: There is no permission, the file system is read-only, or the directory is missing.
    """
    with translate_os_errors(directory / f"any{TEMPORARY}"):
        if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def sync_directory(path: Path | str) -> None:
    """
    Sync the entries of the directory *path* to the disk; within :func:`syncing_together`, at its end.
    """
    if (deferred := _deferred.get()) is not None:
        deferred.setdefault(str(path), set())
        return
    with translate_os_errors(path):
        sync([_opened(path)])


@contextmanager
def syncing_together() -> Iterator[None]:
    """
    At the end of the block, sync the directories that it has changed, all at the same time.

    If the block raises an exception, they are not synced. Within the block, no change may require that an
    earlier one is already durable.
    """
    directories: dict[str, set[Path]] = {}
    token = _deferred.set(directories)
    try:
        yield
    finally:
        _deferred.reset(token)
    if directories:
        with translate_os_errors(next(iter(directories))):
            sync(map(_opened, directories))
        _synced.update(*directories.values())


def _replace_with_link(path: str, target: str, temporary: str) -> None:
    try:
        os.symlink(target, temporary)
        os.replace(temporary, path)
    except BaseException:
        _unlink(temporary)
        raise


def _unlink(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _create(path: Path | str, content: bytes | Iterable[bytes], mode: int) -> None:
    sync([_created(path, content, mode)])


def _created(path: Path | str, content: bytes | Iterable[bytes], mode: int) -> int:
    """
    Write a new file, and return its descriptor, which the caller closes.
    """
    # The file is private from the start, so that other users can never read a key.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode & 0o600)
    try:
        os.fchmod(descriptor, mode)
        for piece in (content,) if isinstance(content, bytes) else content:
            left = memoryview(piece)
            while left:
                left = left[os.write(descriptor, left) :]
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _opened(directory: Path | str) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _temporary(directory: Path) -> str:
    # The name is independent of the final name, which may have the maximum length.
    return f"{directory}/{secrets.token_hex(8)}{TEMPORARY}"


def _ownership(path: Path) -> tuple[Path, str]:
    for directory in path.parents:
        try:
            found = directory.stat()
        except OSError:
            continue
        return directory, f"{found.st_uid}:{found.st_gid}"
    return path, "an unknown user"
