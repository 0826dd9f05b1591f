"""
Tests of the adoption of many certificates of other programs at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from certworker.certificates import Certificate
from certworker.errors.fs import VolumeFault
from certworker.storage.adoption import PAIRS_PER_LOCK, adopt_together
from certworker.storage.certificate_store import CertificateStore
from certworker.storage.links import Links
from tests.storage.authority import Signer
from tests.storage.reader import found
from tests.storage.stored import write_plain_files

NAMES = [f"shop{number}.example.com" for number in range(PAIRS_PER_LOCK + 5)]


@pytest.fixture
def pairs(volume: CertificateStore, signer: Signer) -> dict[str, Certificate]:
    """
    Return the certificate of each name, whose files another program has written.
    """
    certificate = {name: signer.certificate(name) for name in NAMES}
    for name, each in certificate.items():
        write_plain_files(volume, name, each)
    return certificate


def check_readers(volume: CertificateStore, pairs: Mapping[str, Certificate]) -> None:
    """
    Check that the readers of each name find its pair.
    """
    for name, certificate in pairs.items():
        read = found(volume.directory, name)
        assert read is not None
        assert certificate.serial == read.serial


class TestAdoptTogether:
    def test_readers_find_the_same_pairs(
        self, volume: CertificateStore, pairs: dict[str, Certificate]
    ) -> None:
        """
        All pairs are adopted, also with more of them than one lock allows.
        """
        adopted = adopt_together(volume, NAMES)

        assert {name: each.serial for name, each in pairs.items()} == {
            name: metadata.serial for name, metadata in adopted.items()
        }
        check_readers(volume, pairs)
        for name in NAMES:
            assert volume.metadata(name) == adopted[name]
            assert volume.links.has_all_links(name)

    def test_own_names_are_not_checked_against_the_settings(
        self, volume: CertificateStore, pairs: dict[str, Certificate]
    ) -> None:
        """
        Whether a name is renewable matters only for the files of other programs.
        """
        adopt_together(volume, NAMES)
        checked = list[str]()

        def record(name: str) -> bool:
            checked.append(name)
            return True

        volume.renewable = record

        assert {} == adopt_together(volume, NAMES)
        assert [] == checked
        assert {} == adopt_together(volume, NAMES)

    def test_unsuitable_pairs_are_left(
        self, volume: CertificateStore, pairs: dict[str, Certificate], signer: Signer
    ) -> None:
        """
        A damaged pair, one for several names, and a name of certworker are left as they are.
        """
        (volume.links.domain_dir(NAMES[0]) / "privkey.pem").write_text("damaged")
        write_plain_files(volume, NAMES[1], signer.certificate(NAMES[1], "other.example.com"))
        volume.store(signer.certificate(NAMES[2]), authority="x", kind="public", token=1)

        adopted = adopt_together(volume, NAMES)

        assert set(NAMES[3:]) == adopted.keys()
        assert not (volume.links.domain_dir(NAMES[1]) / "fullchain.pem").is_symlink()

    def test_an_interrupted_adoption_is_continued(
        self, volume: CertificateStore, pairs: dict[str, Certificate], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        After a failure between two locks, the readers find all pairs, and the next adoption has the rest.
        """
        activate = Links.activate_each

        def fail(links: Links, generations: Mapping[str, Path]) -> None:
            if NAMES[-1] in generations:
                raise VolumeFault(path=links.directory, reason="Input/output error")
            activate(links, generations)

        with monkeypatch.context() as patch:
            patch.setattr(Links, "activate_each", fail)
            with pytest.raises(VolumeFault):
                adopt_together(volume, NAMES)
        check_readers(volume, pairs)

        assert NAMES[PAIRS_PER_LOCK:] == list(adopt_together(volume, NAMES))
        check_readers(volume, pairs)
