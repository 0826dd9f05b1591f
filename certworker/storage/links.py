"""
The links by which readers find a certificate.

`DOMAIN/` is a real directory, because Appwrite deletes only real directories. Its files are relative links
through `.certworker/live/DOMAIN` into a generation, and are made once. Afterward, only the link in the middle
is replaced: one rename switches all files at the same time. The directory of `*.example.com` is
`_.example.com/`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from certworker.domains import file_name, name_of_file
from certworker.storage import durable
from certworker.storage.metadata import (
    GENERATIONS,
    LIVE,
    NAME,
    PEM_FILES,
    is_generation,
    no_generation,
    token_of,
)
from certworker.storage.metadata_index import MetadataIndex
from certworker.storage.remembered_listing import RememberedListing, listed
from certworker.storage.removed_names import RemovedNames

#: The links in `DOMAIN/`, each with the file in a generation to which it points. Since version 2.2, HAProxy
#: reads the key of `fullchain.pem` from `fullchain.pem.key`. The tests use 2.6.
READERS = {**{file: file for file in PEM_FILES}, "fullchain.pem.key": "privkey.pem"}


class Links:
    """
    The names on the volume in *directory*, and the generation to which each is linked.

    Methods raise VolumeReadOnly or VolumeFault if the volume cannot be read, and also VolumeFull if it cannot
    be written.

    Args:
        records_removals: Whether the volume records which names were removed, for other hosts.
    """

    def __init__(self, directory: Path, *, records_removals: bool = False) -> None:
        self.directory = directory
        self.generations = directory / GENERATIONS
        self._live = directory / LIVE
        self.index = MetadataIndex(self.generations)
        self.removed = RemovedNames(directory)
        self._records_removals = records_removals
        # A link to the generation with the highest token: after a loss of Redis, the locks continue from this
        # token without a list of all generations.
        self._highest = self.generations.parent / "highest"
        # Names that share a generation share its Path, which each check compares and hashes.
        self._generation = lru_cache(maxsize=128)(self.generations.joinpath)
        self._count = RememberedListing(self._live, lambda: len(listed(self._live)))

    def domain_dir(self, name: str) -> Path:
        """
        Return the directory of *name*.

        Names have already been checked; this check is the last defense against a path outside the volume.

        Raises:
            ValueError: *name* is not valid for a directory of the volume.
        """
        return Path(self._domain_dir(name))

    def names(self) -> Iterator[str]:
        """
        Yield the names whose `DOMAIN/` has a `fullchain.pem`, even a dangling link, in alphabetical order.
        """
        with durable.translate_os_errors(self.directory):
            try:
                with os.scandir(self.directory) as entries:
                    names = sorted(
                        name
                        for entry in entries
                        if (name := _name_of(entry.name)) and entry.is_dir(follow_symlinks=False)
                    )
            except FileNotFoundError:
                return
        for name in names:
            if os.path.lexists(f"{self.directory}/{file_name(name)}/fullchain.pem"):
                yield name

    def entries(self) -> set[str]:
        """
        Return the names of all entries of the certificates directory, such as `DOMAIN` for each name.
        """
        return set(listed(self.directory))

    def count(self) -> int:
        """
        Return the number of names that are linked to a generation, even if Appwrite deleted `DOMAIN/`.

        An unchanged directory is not listed again.
        """
        return self._count.current()

    def target_of(self, name: str) -> Path | None:
        """
        Return the directory in which readers of `DOMAIN/` find the files of *name*; None: they find none.

        It is a generation, or `DOMAIN/` itself if another program put the files there.
        """
        directory = self._domain_dir(name)
        with durable.translate_os_errors(directory):
            try:
                is_own = _is_link(f"{directory}/fullchain.pem", _link_target(name, "fullchain.pem"))
                return self.generation(name) if is_own else Path(directory)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def is_foreign(self, name: str) -> bool:
        """
        Return whether readers of `DOMAIN/` find the files of another program.
        """
        directory = self._domain_dir(name)
        with durable.translate_os_errors(directory):
            try:
                return not _is_link(f"{directory}/fullchain.pem", _link_target(name, "fullchain.pem"))
            except (FileNotFoundError, NotADirectoryError):
                return False

    def generation(self, name: str) -> Path | None:
        """
        Return the generation of *name*, even if Appwrite deleted `DOMAIN/`; None: *name* is linked to none.
        """
        link = f"{self._live}/{file_name(name)}"
        with durable.translate_os_errors(link):
            try:
                return self._generation(_target(link).rpartition("/")[2])
            except FileNotFoundError:
                return None

    def live(self) -> list[str]:
        """
        Return the names that are linked to a generation, orphaned or not, in alphabetical order.
        """
        return sorted(name for file in listed(self._live) if (name := _name_of(file)))

    def targets(self) -> set[str]:
        """
        Return the identifiers of all generations to which a name is linked.
        """
        return set(self.linked().values())

    def linked(self) -> dict[str, str]:
        """
        Return the identifier of the generation of each linked name, by the file name of `DOMAIN/`.

        For many names, this takes a third of the time that calls of :meth:`generation` take.
        """
        found = dict[str, str]()
        with durable.translate_os_errors(self._live), _opened(self._live) as directory:
            for file in listed(self._live):
                try:
                    found[file] = os.readlink(file, dir_fd=directory).rpartition("/")[2]
                except OSError as error:
                    # The name was removed in the meantime, or another program put the file there.
                    if error.errno not in (errno.ENOENT, errno.EINVAL):
                        raise
        return found

    def update_index(self) -> None:
        """
        Write the index of the linked generations again if many of its lines are missing or superfluous.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: The volume cannot be read or written.
        """
        self.index.update(self.targets())

    def indexed(self, entries: Collection[str]) -> dict[str, str]:
        """
        Return the index line of each of *entries* (see :meth:`entries`) whose generation exists and has one.
        """
        lines = self.index.lines()
        if not lines:
            return {}
        existing = set(self.identifiers())
        return {
            file: line
            for file, identifier in self.linked().items()
            if (line := lines.get(identifier)) and file in entries and identifier in existing
        }

    def identifiers(self) -> list[str]:
        """
        Return the identifiers of all generations, linked or not, and the names of temporary directories.
        """
        return listed(self.generations)

    def complete_generations(self) -> list[Path]:
        """
        Return the directories of all generations, linked or not, without temporary directories.
        """
        return [self.generations / each for each in self.identifiers() if is_generation(each)]

    def newer(self, names: Iterable[str], token: int) -> str | None:
        """
        Return the first of *names* whose generation has a higher token than *token*; None: no name has one.

        A later lease has a higher token.
        """
        for name in names:
            linked = self.generation(name)
            if linked and token_of(linked.name) > token:
                return name
        return None

    def highest_token(self) -> int:
        """
        Return the highest fencing token that was recorded on this volume; 0 on a new volume.
        """
        with durable.translate_os_errors(self._highest):
            try:
                return token_of(self._highest.readlink().name)
            except FileNotFoundError:
                return 0

    def record_highest(self, generation: Path) -> None:
        """
        Record the fencing token of *generation*, which need not exist, if it is the highest of this volume.
        """
        if token_of(generation.name) > self.highest_token():
            durable.make_directory(self.generations, once=True)
            target = f"{self.generations.name}/{generation.name}"
            durable.link(self._highest, target, via=self.generations)

    def orphaned(self) -> Iterator[str]:
        """
        Yield the names that are linked to a generation, but whose `DOMAIN/` was deleted.
        """
        entries = self.entries()
        yield from (name for name in self.live() if file_name(name) not in entries and self.is_orphaned(name))

    def is_orphaned(self, name: str) -> bool:
        """
        Return whether *name* is linked to a generation, but its `DOMAIN/` was deleted.

        A worker makes `DOMAIN/` before the link to the generation, and removes it before that link.
        """
        return not os.path.lexists(self._domain_dir(name)) and os.path.lexists(self._live / file_name(name))

    def has_all_links(self, name: str) -> bool:
        """
        Return whether `DOMAIN/` has all its links.
        """
        directory = self._domain_dir(name)
        with durable.translate_os_errors(directory):
            try:
                return all(
                    _is_link(f"{directory}/{link}", _link_target(name, file))
                    for link, file in READERS.items()
                )
            except (FileNotFoundError, NotADirectoryError):
                return False

    def create_links(self, name: str) -> None:
        """
        Make `DOMAIN/` and its missing links. Replace other files that have the names of these links.

        If `DOMAIN` itself is a link, replace it with a directory.
        """
        directory = self.domain_dir(name)
        if directory.is_symlink():
            durable.remove(directory)
        durable.make_directory(directory)
        routes = {link: _link_target(name, file) for link, file in READERS.items()}
        missing = {
            file: route
            for file, route in routes.items()
            if not (os.path.lexists(link := f"{directory}/{file}") and _is_link(link, route))
        }
        # Sync the directory even if no link is missing: a killed worker may have made the last one without
        # fsync.
        durable.links(directory, missing, via=self.generations)

    def link(self, names: Sequence[str], generation: Path) -> None:
        """
        Make the links in `DOMAIN/` of all *names*, and then link these names to *generation*.

        Record the fencing token of *generation* if it is the highest of this volume.
        """
        with durable.syncing_together():
            self.record_highest(generation)
            for name in names:
                self.create_links(name)
        self.activate(names, generation)

    def activate(self, names: Iterable[str], generation: Path) -> None:
        """
        Link each of *names* to *generation*, which is complete and fsynced.
        """
        self.activate_each(dict.fromkeys(names, generation))

    def activate_each(self, generations: Mapping[str, Path]) -> None:
        """
        Link each name of *generations* to its generation, which is complete and fsynced.
        """
        durable.make_directory(self._live, once=True)
        targets = {
            file_name(name): f"../{GENERATIONS.name}/{each.name}" for name, each in generations.items()
        }
        durable.links(self._live, targets, via=self.generations)

    def remove(self, name: str, token: int = 0) -> None:
        """
        Remove `DOMAIN/` and the link of *name*.

        If the volume records removals, record the higher of *token* and the token of the generation.

        Args:
            token: The fencing token of the removal. With a token, the removal of a name without links is
                also recorded on such a volume, because another host may have a certificate.
        """
        directory = self.domain_dir(name)
        linked = self.generation(name)
        if self._records_removals and (linked or token):
            token = max(token, token_of(linked.name) if linked else 0)
            # After a loss of Redis, the next certificate of the name needs a higher token than its removal.
            self.record_highest(self.generations / no_generation(token))
            self.removed.add(name, token)
        durable.remove(directory)
        durable.remove(self._live / file_name(name))

    def _domain_dir(self, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("not a name for a directory of the volume")
        return f"{self.directory}/{file_name(name)}"


@contextmanager
def _opened(directory: Path) -> Iterator[int | None]:
    """
    Yield a descriptor of *directory*, or None if it is missing.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _name_of(file: str) -> str | None:
    """
    Return the name to which the directory or link *file* belongs; None if it belongs to no name.
    """
    name = name_of_file(file)
    return name if file_name(name) == file and NAME.fullmatch(name) else None


def _link_target(name: str, file: str) -> str:
    return f"../{LIVE}/{file_name(name)}/{file}"


def _target(link: str) -> str:
    return os.readlink(link)  # noqa: PTH115 (with a Path it takes ten times as long)


def _is_link(path: str, target: str) -> bool:
    try:
        return _target(path) == target
    except OSError as error:
        if error.errno == errno.EINVAL:  # it is not a link
            return False
        raise
