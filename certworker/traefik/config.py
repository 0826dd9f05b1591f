"""
The files that Traefik's file provider watches: one YAML per name, and its rename is the commit.

Traefik watches the directory, not the PEM files, and reads every file in it after each event. So a
temporary file never appears there, the paths inside never change their contents, and a file that says
the same already is left alone.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml

from certworker.domains import is_address
from certworker.errors import CertworkerError
from certworker.errors.fs import Fenced
from certworker.errors.proxy import ProxyYamlBroken
from certworker.job_slot import NO_SLOT, JobSlot
from certworker.storage import durable
from certworker.storage.keypair import StoredCertificate
from certworker.storage.metadata import GENERATIONS, CertificateMetadata, token_of
from certworker.storage.shared_directory import (
    LEAST_AGE_SECONDS,
    PATIENCE_SECONDS,
    SharedDirectory,
    WriteLock,
)
from certworker.supervision import beat
from certworker.traefik.batching import BatchedWriter

logger = logging.getLogger(__name__)

#: What the provider loads.
_LOADED = (".yml", ".yaml", ".toml")

#: A file name has at most 255 bytes, a domain name 253, and the ending wants four.
_LONGEST_STEM = 251

#: Others may put anything into the directory; what is larger is no configuration.
LARGEST_FILE_BYTES = 16 * 1024 * 1024

#: What reading a file that another program wrote can raise: PyYAML raises ValueError for an impossible date.
_UNREADABLE = (
    yaml.YAMLError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)

#: The same text ten times as fast, where PyYAML was built with libyaml.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

#: What may be wrong with the file of a name: it is missing, Traefik cannot read it, it leads to another
#: certificate, or it leads to the right one and has been changed.
Damage = Literal["missing", "unreadable", "elsewhere", "changed"]

#: What we write ourselves: with 50,000 names nobody parses it all.
_OURS = re.compile(rb"tls:\n  certificates:\n  - certFile: ([\w/.-]+)\n    keyFile: [\w/.-]+\n")

_GENERATION = re.compile(rb"/" + re.escape(bytes(GENERATIONS)) + rb"/([0-9a-f-]+)/")


class TraefikConfig:
    """
    The proxy's configuration in *config_dir*.

    The paths in it are ours: Traefik has to mount the volume with the certificates at the same place.

    Args:
        least_age_seconds: What is younger was not left behind by a crash.
    """

    def __init__(
        self,
        config_dir: Path,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        least_age_seconds: float = LEAST_AGE_SECONDS,
    ) -> None:
        self.directory = config_dir.absolute()
        place = self.directory / ".certworker"
        self._lock = WriteLock(place / "lock", patience_seconds)
        self._workshop = SharedDirectory(
            place,
            place / "writing.lock",
            patience_seconds=patience_seconds,
            least_age_seconds=least_age_seconds,
        )
        self._publication = BatchedWriter(self.directory, self._workshop, self._lock, _is_outdated)

    def publish(self, stored: StoredCertificate, *, again: bool = False, slot: JobSlot = NO_SLOT) -> bool:
        """
        Let Traefik serve *stored* for each of its names, all from the same generation.

        Args:
            again: It seems to have missed the files as they are: also those that say the same are written.
            slot: Of the job that calls; it is released while the files wait.

        Returns:
            Whether a file had to be changed.

        Raises:
            Fenced: The file of one of the names leads to a later generation.
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: Each file is the old one or the new one.
            ValueError: The path of the volume is a template to Traefik.
        """
        kinds = {name: is_address(name) for name in stored.metadata.names}
        written = {kind: _configuration(stored.directory, address=kind) for kind in set(kinds.values())}
        contents = {name: written[kind] for name, kind in kinds.items()}
        changed = [name for name in contents if again or _content(self._file(name)) != contents[name]]
        if changed:
            self._publication.publish(
                stored.directory.name, {self._file(name).name: contents[name] for name in changed}, slot
            )
        for name in changed:
            if _content(self._file(name)) != contents[name]:
                raise Fenced(name=name)
        return bool(changed)

    def repair(self, directories: Mapping[str, Path]) -> dict[str, Damage]:
        """
        Write the file of each name of *directories* that does not lead to its generation, all in one burst.

        A file that leads to a later generation stays. A file that cannot be written costs the others nothing.

        Returns:
            What was wrong with the files that were written, by name.

        Raises:
            VolumeLocked, VolumeReadOnly, VolumeFull, VolumeFault: No file could be written.
            ValueError: The path of the volume is a template to Traefik.
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
            self._publication.publish_at_once(
                {self._file(name).name: content for name, content in wanted.items()}
            )
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
        Whether the file of *name* leads to the generation with these *metadata*.
        """
        led_to = _generations_in(_content(self._file(name)))
        return {metadata.generation} == {token_of(identifier) for identifier in led_to}

    def files(self, name: str) -> tuple[Path, Path] | None:
        """
        The chain and the key that the file of *name* names; None if there is none of ours.
        """
        try:
            pair = yaml.safe_load(_content(self._file(name)))["tls"]["certificates"][0]
            return Path(pair["certFile"]), Path(pair["keyFile"])
        except _UNREADABLE:
            return None

    def remove(self, name: str) -> None:
        """
        Let Traefik serve nothing of ours for *name*.
        """
        with self._lock.held():
            self._publication.withdraw(self._file(name).name)
            durable.remove(self._file(name))

    def served_generations(self) -> set[str]:
        """
        The identifiers of the generations that any file in the directory names, be it ours or not.
        """
        return {identifier for file in self._loaded() for identifier in _generations_in(_content(file))}

    def broken(self) -> list[ProxyYamlBroken]:
        """
        The files, be they ours or not, that keep Traefik from reading any.

        Those with a template in them are not judged: only Traefik knows what becomes of it.
        """
        return [
            ProxyYamlBroken(path=file, reason=reason)
            for file in self._loaded()
            if (reason := _reason_to_fail(file.suffix, _content(file)))
        ]

    def dangling(self) -> list[Path]:
        """
        Files of ours that name a certificate which is not there: Traefik leaves that name out.
        """
        return [
            file
            for file in self._loaded()
            if (named := _OURS.fullmatch(_content(file))) and not Path(named[1].decode()).exists()
        ]

    def count(self) -> int:
        """
        How many files Traefik loads.
        """
        return len(self._loaded())

    def remove_leftovers(self) -> None:
        """
        Remove what a crash left behind. It never was where Traefik reads.
        """
        self._workshop.remove_leftovers()

    def check_writable(self) -> None:
        """
        Write, rename and remove a file, without waking Traefik, and see that there is room for more.

        Raises:
            VolumeReadOnly, VolumeFull, VolumeFault: It is not possible; nothing should be ordered.
        """
        with self._workshop.writing():
            durable.check_writable(self._workshop.path)
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
        stem = name
        if len(name) > _LONGEST_STEM:
            stem = f"{name[:180]}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        return self.directory / f"{stem}.yml"


def _damage(found: bytes, content: bytes) -> Damage:
    """
    Return what is wrong with a file that has *found* in the place of *content*.
    """
    if not found:
        return "missing"
    if _reason_to_fail(".yml", found):
        return "unreadable"
    return "changed" if _directory_in(found) == _directory_in(content) else "elsewhere"


def _is_outdated(content: bytes, file: Path) -> bool:
    """
    Whether the generation that *content* leads to is gone, or older than the one that *file* leads to.
    """
    ours = _directory_in(content)
    if ours is None or not ours.is_dir():
        return True
    # A file may name a generation that is gone, after a volume was restored: it forbids nothing.
    return any(
        token_of(identifier) > token_of(ours.name) and (ours.parent / identifier).is_dir()
        for identifier in _generations_in(_content(file))
    )


def _directory_in(content: bytes) -> Path | None:
    if found := _OURS.match(content):
        return Path(os.fsdecode(found[1])).parent
    try:
        return Path(yaml.safe_load(content)["tls"]["certificates"][0]["certFile"]).parent
    except _UNREADABLE:
        return None


def _configuration(directory: Path, *, address: bool) -> bytes:
    files = {"certFile": str(directory / "fullchain.pem"), "keyFile": str(directory / "privkey.pem")}
    tls: dict[str, object] = {"certificates": [files]}
    if address:
        # Who opens an address names no host (RFC 6066, section 3), and Traefik then looks at its own address,
        # which in a container is another one. Of several such files it takes the first.
        tls["stores"] = {"default": {"defaultCertificate": dict(files)}}
    content: str = yaml.dump({"tls": tls}, Dumper=_Dumper)
    if "{{" in content:
        # Traefik renders its files as Go templates before it parses them.
        raise ValueError(f"Traefik would take {directory} for a template")
    return content.encode()


def _reason_to_fail(kind: str, content: bytes) -> str | None:
    if b"{{" in content or _OURS.fullmatch(content):
        return None
    try:
        text = content.decode()
        loaded = tomllib.loads(text) if kind == ".toml" else yaml.safe_load(text)
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except _UNREADABLE as error:
        return " ".join(str(error).split())
    return None if loaded is None or isinstance(loaded, dict) else "it is no list of settings"


def _content(file: Path) -> bytes:
    beat()  # a round over all files takes long, and this is its progress
    with durable.translate_os_errors(file):
        try:
            return durable.read(file, LARGEST_FILE_BYTES)
        except (FileNotFoundError, IsADirectoryError, durable.UnsuitableFile):
            return b""


def _generations_in(content: bytes) -> list[str]:
    return [identifier.decode() for identifier in _GENERATION.findall(content)]
