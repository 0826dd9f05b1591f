"""
The files of Traefik's file provider: one YAML file per name, which an atomic rename replaces.

The file of `*.example.com` is `_.example.com.yml`. With many names, one file may have the certificates of
many names (see :mod:`certworker.traefik.layout`).

Traefik watches the directory, not the PEM files, and reads every file in the directory after each event. So
no temporary file appears there, and a file that is up to date is not written. A PEM file at a path never
changes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from certworker import text_yaml
from certworker.domains import file_name, is_address, name_of_file
from certworker.errors import CertworkerError
from certworker.errors.fs import Fenced
from certworker.errors.proxy import ProxyYamlBroken
from certworker.job_slot import NO_SLOT, JobSlot
from certworker.storage import durable
from certworker.storage.keypair import StoredCertificate
from certworker.storage.metadata import GENERATIONS, CertificateMetadata, token_of
from certworker.storage.shared_directory import (
    LEAST_AGE_SECONDS,
    LOCK_TIMEOUT_SECONDS,
    SharedDirectory,
    WriteLock,
)
from certworker.traefik.batching import BatchedWriter
from certworker.traefik.layout import Layout, LayoutChoice
from certworker.traefik.load import ProxyLoad
from certworker.traefik.shards import EXTENSION, bits_in, content_of, count_in, parse

logger = logging.getLogger(__name__)

#: The extensions that the provider loads.
_LOADED = (".yml", ".yaml", ".toml")

#: A file name has at most 255 bytes, a domain name 253, and the extension four.
_LONGEST_STEM = 251

#: The errors of a file that another program wrote. PyYAML raises ValueError for an impossible date.
_UNREADABLE = (
    yaml.YAMLError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)

#: The C dumper writes the same text ten times as fast. It exists if PyYAML was built with libyaml.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: The damage of a file: it is missing, Traefik cannot read it, it names another certificate, or it names the
#: right one and was changed.
Damage = Literal["missing", "unreadable", "elsewhere", "changed"]

#: The form of the files that certworker writes. To match 50,000 files is much faster than to parse them.
_OWN = re.compile(rb"tls:\n  certificates:\n  - certFile: ([\w/.-]+)\n    keyFile: [\w/.-]+\n")

#: A path that YAML represents without quotes.
_PLAIN = re.compile(r"/[\w/.-]+", re.ASCII)

_GENERATION = re.compile(rb"/" + re.escape(bytes(GENERATIONS)) + rb"/([0-9a-f-]+)/")


class TraefikConfig:
    """
    The proxy's configuration in *config_dir*.

    Its files name the paths of this host: Traefik has to mount the certificates at the same path.

    Args:
        layout: Whether each name has a file of its own.
        timeout_seconds: How long to wait for other writers.
        least_age_seconds: The minimum age of files left behind by a crash.
        observe: Called after each publication with its outcome (`written`, `unchanged` or `failed`), and its
            duration in seconds.

    Attributes:
        load: The reloads of Traefik that this object caused, and how fast Traefik served the changes.
    """

    def __init__(
        self,
        config_dir: Path,
        *,
        layout: LayoutChoice = "auto",
        observe: Callable[[str, float], object] = lambda _outcome, _seconds: None,
        timeout_seconds: float = LOCK_TIMEOUT_SECONDS,
        least_age_seconds: float = LEAST_AGE_SECONDS,
    ) -> None:
        self.directory = config_dir.absolute()
        self._observe = observe
        private = self.directory / ".certworker"
        self._lock = WriteLock(private / "lock", timeout_seconds)
        self._staging = SharedDirectory(
            private,
            private / "writing.lock",
            timeout_seconds=timeout_seconds,
            least_age_seconds=least_age_seconds,
        )
        self.load = ProxyLoad()
        self._layout = Layout(self.directory, private, layout, _is_outdated)
        self._writer = BatchedWriter(
            self.directory, self._staging, self._lock, self._layout, self.load.changed
        )

    def publish(self, stored: StoredCertificate, *, again: bool = False, slot: JobSlot = NO_SLOT) -> bool:
        """
        Write the files for each name of *stored*, so that Traefik serves it.

        Args:
            again: Whether to write files that are up to date as well, because Traefik seems to have missed
                them.
            slot: The slot of the calling job, which is released early while the files wait.

        Returns:
            Whether a file was changed.

        Raises:
            Fenced: The file of one of the names refers to a later generation.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each file is the old one or the new one.
            ValueError: The path of the volume contains a Go template, which Traefik would render.
        """
        began, outcome = time.monotonic(), "failed"
        try:
            changed = self._publish(stored, again, slot)
            outcome = "written" if changed else "unchanged"
            return changed
        finally:
            self._observe(outcome, time.monotonic() - began)

    def _publish(self, stored: StoredCertificate, again: bool, slot: JobSlot) -> bool:
        kinds = {name: is_address(name) for name in stored.metadata.names}
        written = {kind: _configuration(stored.directory, address=kind) for kind in set(kinds.values())}
        contents = {name: written[kind] for name, kind in kinds.items()}
        changed = [name for name in contents if again or self._content(name) != contents[name]]
        if changed:
            self._writer.publish(
                stored.directory.name, {_file_name(name): contents[name] for name in changed}, slot
            )
        for name in changed:
            if self._content(name) != contents[name]:
                raise Fenced(name=name)
        return bool(changed)

    def repair(self, directories: Mapping[str, Path], *, complete: bool = False) -> dict[str, Damage]:
        """
        Write the file of each name of *directories* that does not refer to its generation, all in one burst.

        A file that refers to a later generation stays. A file that cannot be written does not stop the
        others.

        Args:
            complete: Whether *directories* has all names. Then the layout changes if necessary, and a shard
                that another program has changed is written again.

        Returns:
            The damage of each file that was written, by name.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: No file could be written.
            ValueError: The path of the volume contains a Go template, which Traefik would render.
        """
        if complete:
            self._arrange()
        wrong, wanted = dict[str, Damage](), dict[str, bytes]()
        names = {_file_name(name): name for name in directories}
        for file, found in self._layout.read_many(names):
            name = names[file]
            content = _configuration(directories[name], address=is_address(name))
            if found != content and not _is_outdated(content, found):
                wrong[file], wanted[file] = _damage(found, content), content
        if not wanted:
            return {}
        failure: CertworkerError | None = None
        try:
            self._writer.publish_at_once(wanted, "rebuild" if complete else "change")
        except CertworkerError as fault:
            failure = fault
        found_again = self._layout.read_many(wanted)
        written = {names[file]: wrong[file] for file, found in found_again if found == wanted[file]}
        if failure and not written:
            raise failure
        if failure:
            logger.warning("%s", failure, extra={"code": failure.code})
        return written

    def _arrange(self) -> None:
        if contents := self._layout.to_scatter():
            self._writer.publish_at_once(contents, "scatter")
        with self._lock.held(), self._staging.writing():
            self._layout.gather()

    def serves(self, name: str, metadata: CertificateMetadata) -> bool:
        """
        Return whether the file of *name* refers to the generation with this *metadata*.
        """
        named = _generations_in(self._content(name))
        return {metadata.generation} == {token_of(identifier) for identifier in named}

    def files(self, name: str) -> tuple[Path, Path] | None:
        """
        Return the paths of the chain and the key in the file of *name*; None: there is no such file.
        """
        try:
            pair = _yaml(self._content(name))["tls"]["certificates"][0]
            return Path(pair["certFile"]), Path(pair["keyFile"])
        except _UNREADABLE:
            return None

    def remove(self, name: str) -> None:
        """
        Remove the file of *name*.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: *name* may still be in service.
        """
        with self._lock.held():
            self._writer.withdraw(_file_name(name))
            with self._staging.writing():
                self._layout.remove(_file_name(name))
        self.load.changed()

    def served_generations(self) -> set[str]:
        """
        Return the identifiers of all generations that the files in the directory name.
        """
        return {identifier for file in self._loaded() for identifier in _generations_in(content_of(file))}

    def broken(self) -> list[ProxyYamlBroken]:
        """
        Return the files that stop Traefik from reading the directory, with the reasons.

        Files with a Go template are not checked, because only Traefik can render them.
        """
        return [
            ProxyYamlBroken(path=file, reason=reason)
            for file in self._loaded()
            if (reason := _reason_to_fail(file, content_of(file)))
        ]

    def dangling(self) -> list[tuple[str, Path]]:
        """
        Return the names in the files of certworker whose certificate is missing, with their files.

        Traefik cannot serve these names.
        """
        return [
            (name_of_file(stem), file)
            for file in self._loaded()
            for stem, content in _entries_in(file).items()
            if (named := _OWN.fullmatch(content)) and not Path(named[1].decode()).exists()
        ]

    def count(self) -> int:
        """
        Return the number of certificates that Traefik loads: one for each file, or for each name of a shard.
        """
        files = self._loaded()
        return sum(1 if bits_in(file.name) is None else count_in(content_of(file)) for file in files)

    def is_sharded(self) -> bool:
        """
        Return whether one file has the certificates of many names.
        """
        return self._layout.is_sharded()

    def remove_leftovers(self) -> None:
        """
        Remove the leftovers of a crash, which are outside the watched directory.
        """
        self._staging.remove_leftovers()

    def check_writable(self) -> None:
        """
        Check that files can be written, without an event for Traefik.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: Files cannot be written, so no order should be placed.
        """
        with self._staging.writing():
            durable.check_writable(self._staging.path)
        durable.check_permitted(self.directory)

    def _loaded(self) -> list[Path]:
        with durable.translate_os_errors(self.directory):
            try:
                with os.scandir(self.directory) as entries:
                    files = [Path(entry.path) for entry in entries]
            except FileNotFoundError:
                return []
        return sorted(file for file in files if file.suffix in _LOADED)

    def _content(self, name: str) -> bytes:
        return self._layout.read(_file_name(name))


def _file_name(name: str) -> str:
    stem = file_name(name)
    if len(name) > _LONGEST_STEM:
        stem = f"{stem[:180]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return f"{stem}{EXTENSION}"


def _entries_in(file: Path) -> dict[str, bytes]:
    """
    Return the content for each name in *file*, by the file name of the name without its extension.
    """
    content = content_of(file)
    return {file.stem: content} if bits_in(file.name) is None else parse(content) or {}


def _damage(found: bytes, content: bytes) -> Damage:
    """
    Return the damage of a file that contains *found* instead of *content*.
    """
    if not found:
        return "missing"
    if _reason_to_fail(Path("name.yml"), found):
        return "unreadable"
    return "changed" if _directory_in(found) == _directory_in(content) else "elsewhere"


def _is_outdated(content: bytes, found: bytes) -> bool:
    """
    Return whether the generation of *content* no longer exists, or is older than the one of *found*.
    """
    own = _directory_in(content)
    if own is None or not own.is_dir():
        return True
    # After a volume was restored, a file may name a generation that no longer exists. It does not count.
    return any(
        token_of(identifier) > token_of(own.name) and (own.parent / identifier).is_dir()
        for identifier in _generations_in(found)
    )


def _directory_in(content: bytes) -> Path | None:
    if found := _OWN.match(content):
        return Path(os.fsdecode(found[1])).parent
    try:
        return Path(_yaml(content)["tls"]["certificates"][0]["certFile"]).parent
    except _UNREADABLE:
        return None


def _configuration(directory: Path, *, address: bool) -> bytes:
    if not address and _PLAIN.fullmatch(str(directory)):
        # The same text as that of the dumper, a hundred times as fast.
        return (
            f"tls:\n  certificates:\n  - certFile: {directory}/fullchain.pem\n"
            f"    keyFile: {directory}/privkey.pem\n"
        ).encode()
    files = {"certFile": str(directory / "fullchain.pem"), "keyFile": str(directory / "privkey.pem")}
    tls: dict[str, object] = {"certificates": [files]}
    if address:
        # A client of an IP address sends no SNI (RFC 6066, section 3). Traefik then compares its own address,
        # which differs in a container. It takes the first default certificate of all files.
        tls["stores"] = {"default": {"defaultCertificate": dict(files)}}
    content: str = yaml.dump({"tls": tls}, Dumper=_Dumper)
    if "{{" in content:
        # Traefik renders its files as Go templates before it parses them.
        raise ValueError(f"Traefik would take {directory} for a template")
    return content.encode()


def _reason_to_fail(file: Path, content: bytes) -> str | None:
    is_shard = bits_in(file.name) is not None and parse(content) is not None
    if b"{{" in content or _OWN.fullmatch(content) or is_shard:
        return None
    try:
        text = content.decode()
        loaded = tomllib.loads(text) if file.suffix == ".toml" else _yaml(text)
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except _UNREADABLE as error:
        return " ".join(str(error).split())
    return None if loaded is None or isinstance(loaded, dict) else "its top level is not a mapping"


def _yaml(text: str | bytes) -> Any:
    return text_yaml.load(text)


def _generations_in(content: bytes) -> list[str]:
    return [identifier.decode() for identifier in _GENERATION.findall(content)]
