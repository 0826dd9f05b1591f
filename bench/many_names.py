"""
A volume and a Redis with up to 100,000 names, made once and kept in the cache of the user.

`python -m bench.many_names COUNT` makes them. The benchmark `scale` copies them, as links where possible.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from redis import Redis

from bench.figures import progress
from certworker.certificates import Certificate, PrivateKey
from certworker.renewal.agenda import Agenda
from certworker.renewal.policy import MAX_CHECK_INTERVAL, common_moment
from certworker.state.domain_records import DomainRecords
from certworker.storage.links import READERS
from certworker.storage.metadata import GENERATIONS, LIVE, META, PEM_FILES, CertificateMetadata

LIFETIME = timedelta(days=90)
#: The certificates were issued evenly within this time, so none is due for renewal.
ISSUED_WITHIN = timedelta(days=55)

NAMES_AT_A_TIME = 1_000
PROGRESS_EVERY = 20_000

AUTHORITY = "bench"


def cache() -> Path:
    """
    Return the directory of all worlds.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "certworker-bench"


def names_of(count: int) -> Iterator[str]:
    """
    Yield the names of a world.
    """
    return (f"shop{number:06}.example.org" for number in range(count))


def adopted_world(count: int) -> Path:
    """
    Return a volume with *count* names of certworker, each with its own certificate and Traefik's entry.
    """
    return _made(f"own-{count}", count, _write_own)


def plain_world(count: int) -> Path:
    """
    Return a volume with *count* pairs of another program.
    """
    return _made(f"plain-{count}", count, _write_plain)


def copied(world: Path, place: Path) -> Path:
    """
    Copy *world* to *place*. Its files are hard links if possible: no program changes them.
    """
    if world.stat().st_dev == place.parent.stat().st_dev:
        shutil.copytree(world, place, symlinks=True, copy_function=os.link)
    else:
        shutil.copytree(world, place, symlinks=True)
    return place


def fill_redis(connection: Redis, world: Path, count: int) -> None:
    """
    Write the agenda and the records of all names of *world*, as after their last checks.
    """
    now, random, records = datetime.now(UTC), Random(2), DomainRecords(connection)
    agenda, names = Agenda(connection, lambda _: None), names_of(count)
    agenda.begin_comparison()
    while batch := list(islice(names, NAMES_AT_A_TIME)):
        moments = {name: now + random.random() * MAX_CHECK_INTERVAL for name in batch}
        # The last check of a name was up to half a day ago.
        planned = now - MAX_CHECK_INTERVAL
        checks = {name: common_moment(moment, planned) for name, moment in moments.items()}
        for name, check in checks.items():
            generation = world / "certificates" / GENERATIONS / _identifier(name)
            metadata = CertificateMetadata.read(generation)
            assert metadata
            records.record_issued([name], metadata, next_check=check, now=now)
        agenda.put_many(checks)
    agenda.finish_comparison()


def _made(label: str, count: int, write: Callable[[Path, str, Certificate], None]) -> Path:
    world = cache() / label
    if not world.exists():
        progress(f"{label}: making the volume once")
        new = world.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        for directory in ("certificates", "config", "state"):
            (new / directory).mkdir(parents=True)
        signer = _Signer()
        for number, name in enumerate(names_of(count)):
            write(new, name, signer.certificate(name))
            if number % PROGRESS_EVERY == 0:
                progress(f"{label}: {number} of {count} names")
        new.rename(world)
    return world


class _Signer:
    """
    A CA without extensions that cost time. All certificates have one key.
    """

    def __init__(self) -> None:
        self._key, self._random = ec.generate_private_key(ec.SECP256R1()), Random(1)
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Bench CA")])
        self._leaf_key = PrivateKey.generate()
        self._root = self._sign(self._subject, self._key.public_key(), self._now, None)

    def certificate(self, name: str) -> Certificate:
        """
        Return a certificate for *name*.
        """
        begins = self._now - ISSUED_WITHIN * self._random.random()
        public = self._leaf_key.key.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        return Certificate.from_pem(
            self._sign(x509.Name([]), public, begins, name) + self._root, self._leaf_key
        )

    def _sign(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey, begins: datetime, name: str | None
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins.replace(microsecond=0))
            .not_valid_after(begins.replace(microsecond=0) + LIFETIME)
        )
        if name:
            alternative = x509.SubjectAlternativeName([x509.DNSName(name)])
            builder = builder.add_extension(alternative, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _identifier(name: str) -> str:
    return f"{1:012d}-{int(name[4:10]):08x}"


def _write_pair(directory: Path, certificate: Certificate) -> None:
    directory.mkdir(parents=True)
    contents = (certificate.cert_pem, certificate.chain_pem, certificate.fullchain_pem, certificate.key.pem)
    for file, content in zip(PEM_FILES, contents, strict=True):
        (directory / file).write_bytes(content)
    (directory / "privkey.pem").chmod(0o600)


def _write_plain(new: Path, name: str, certificate: Certificate) -> None:
    _write_pair(new / "certificates" / name, certificate)


def _write_own(new: Path, name: str, certificate: Certificate) -> None:
    volume = new / "certificates"
    generation = volume / GENERATIONS / _identifier(name)
    _write_pair(generation, certificate)
    metadata = CertificateMetadata.of(certificate, authority=AUTHORITY, kind="private", generation=1)
    (generation / META).write_bytes(metadata.as_json())
    (volume / LIVE).mkdir(exist_ok=True)
    (volume / LIVE / name).symlink_to(f"../{GENERATIONS.name}/{generation.name}")
    (volume / name).mkdir()
    for link, file in READERS.items():
        (volume / name / link).symlink_to(f"../{LIVE}/{name}/{file}")


def main() -> None:
    """
    Make the worlds with the number of names in the first argument.
    """
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for world in (adopted_world(count), plain_world(count)):
        print(world)


if __name__ == "__main__":
    main()
