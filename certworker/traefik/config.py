"""
The files of Traefik's file provider: one YAML file per name, which an atomic rename replaces.

The file of `*.example.com` is `_.example.com.yml`.

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
from typing import Literal

import yaml

from certworker.domains import file_name, is_address
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
from certworker.supervision import beat
from certworker.traefik.batching import BatchedWriter
from certworker.traefik.load import ProxyLoad

logger = logging.getLogger(__name__)

#: The extensions that the provider loads.
_LOADED = (".yml", ".yaml", ".toml")

#: A file name has at most 255 bytes, a domain name 253, and the extension four.
_LONGEST_STEM = 251

#: Other programs may put any file into the directory; a larger file is not a configuration.
LARGEST_FILE_BYTES = 16 * 1024 * 1024

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

_GENERATION = re.compile(rb"/" + re.escape(bytes(GENERATIONS)) + rb"/([0-9a-f-]+)/")


class TraefikConfig:
    """
    The proxy's configuration in *config_dir*.

    Its files name the paths of this host: Traefik has to mount the certificates at the same path.

    Args:
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
        self._writer = BatchedWriter(
            self.directory, self._staging, self._lock, _is_outdated, self.load.changed
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
        changed = [name for name in contents if again or _content(self._file(name)) != contents[name]]
        if changed:
            self._writer.publish(
                stored.directory.name, {self._file(name).name: contents[name] for name in changed}, slot
            )
        for name in changed:
            if _content(self._file(name)) != contents[name]:
                raise Fenced(name=name)
        return bool(changed)

    def repair(self, directories: Mapping[str, Path]) -> dict[str, Damage]:
        """
        Write the file of each name of *directories* that does not refer to its generation, all in one burst.

        A file that refers to a later generation stays. A file that cannot be written does not stop the
        others.

        Returns:
            The damage of each file that was written, by name.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: No file could be written.
            ValueError: The path of the volume contains a Go template, which Traefik would render.
        """
        wrong, wanted = dict[str, Damage](), dict[str, bytes]()
        for name, directory in directories.items():
            file, content = self._file(name), _configuration(directory, address=is_address(name))
            if (found := _content(file)) != content and not _is_outdated(content, file):
                wrong[name], wanted[name] = _damage(found, content), content
        if not wanted:
            return {}
        failure: CertworkerError | None = None
        try:
            self._writer.publish_at_once({self._file(name).name: content for name, content in wanted.items()})
        except CertworkerError as fault:
            failure = fault
        written = {name: wrong[name] for name in wanted if _content(self._file(name)) == wanted[name]}
        if failure and not written:
            raise failure
        if failure:
            logger.warning("%s", failure, extra={"code": failure.code})
        return written

    def serves(self, name: str, metadata: CertificateMetadata) -> bool:
        """
        Return whether the file of *name* refers to the generation with this *metadata*.
        """
        named = _generations_in(_content(self._file(name)))
        return {metadata.generation} == {token_of(identifier) for identifier in named}

    def files(self, name: str) -> tuple[Path, Path] | None:
        """
        Return the paths of the chain and the key in the file of *name*; None: there is no such file.
        """
        try:
            pair = yaml.safe_load(_content(self._file(name)))["tls"]["certificates"][0]
            return Path(pair["certFile"]), Path(pair["keyFile"])
        except _UNREADABLE:
            return None

    def remove(self, name: str) -> None:
        """
        Remove the file of *name*.
        """
        with self._lock.held():
            self._writer.withdraw(self._file(name).name)
            durable.remove(self._file(name))
        self.load.changed()

    def served_generations(self) -> set[str]:
        """
        Return the identifiers of all generations that the files in the directory name.
        """
        return {identifier for file in self._loaded() for identifier in _generations_in(_content(file))}

    def broken(self) -> list[ProxyYamlBroken]:
        """
        Return the files that stop Traefik from reading the directory, with the reasons.

        Files with a Go template are not checked, because only Traefik can render them.
        """
        return [
            ProxyYamlBroken(path=file, reason=reason)
            for file in self._loaded()
            if (reason := _reason_to_fail(file.suffix, _content(file)))
        ]

    def dangling(self) -> list[Path]:
        """
        Return the files of certworker that name a missing certificate. Traefik cannot serve their names.
        """
        return [
            file
            for file in self._loaded()
            if (named := _OWN.fullmatch(_content(file))) and not Path(named[1].decode()).exists()
        ]

    def count(self) -> int:
        """
        Return the number of files that Traefik loads.
        """
        return len(self._loaded())

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

    def _file(self, name: str) -> Path:
        stem = file_name(name)
        if len(name) > _LONGEST_STEM:
            stem = f"{stem[:180]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        return self.directory / f"{stem}.yml"


def _damage(found: bytes, content: bytes) -> Damage:
    """
    Return the damage of a file that contains *found* instead of *content*.
    """
    if not found:
        return "missing"
    if _reason_to_fail(".yml", found):
        return "unreadable"
    return "changed" if _directory_in(found) == _directory_in(content) else "elsewhere"


def _is_outdated(content: bytes, file: Path) -> bool:
    """
    Return whether the generation of *content* no longer exists, or is older than the one of *file*.
    """
    own = _directory_in(content)
    if own is None or not own.is_dir():
        return True
    # After a volume was restored, a file may name a generation that no longer exists. It does not count.
    return any(
        token_of(identifier) > token_of(own.name) and (own.parent / identifier).is_dir()
        for identifier in _generations_in(_content(file))
    )


def _directory_in(content: bytes) -> Path | None:
    if found := _OWN.match(content):
        return Path(os.fsdecode(found[1])).parent
    try:
        return Path(yaml.safe_load(content)["tls"]["certificates"][0]["certFile"]).parent
    except _UNREADABLE:
        return None


def _configuration(directory: Path, *, address: bool) -> bytes:
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


def _reason_to_fail(kind: str, content: bytes) -> str | None:
    if b"{{" in content or _OWN.fullmatch(content):
        return None
    try:
        text = content.decode()
        loaded = tomllib.loads(text) if kind == ".toml" else yaml.safe_load(text)
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except _UNREADABLE as error:
        return " ".join(str(error).split())
    return None if loaded is None or isinstance(loaded, dict) else "its top level is not a mapping"


def _content(file: Path) -> bytes:
    beat()  # reading all files takes long, and each file is progress
    with durable.translate_os_errors(file):
        try:
            return durable.read(file, LARGEST_FILE_BYTES)
        except (FileNotFoundError, IsADirectoryError, durable.UnsuitableFile):
            return b""


def _generations_in(content: bytes) -> list[str]:
    return [identifier.decode() for identifier in _GENERATION.findall(content)]
