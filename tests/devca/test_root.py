"""
One root, for as long as the state directory lives.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from certworker.devca.root import KEYS_FILE, ROOT_FILE, Hierarchy

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class TestOpen:
    def test_it_is_made_once(self, tmp_path: Path) -> None:
        """
        Replicas that start together present one root, or a browser would have to trust each.
        """
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: Hierarchy.open(tmp_path / "state", NOW), range(8)))
        assert 1 == len({hierarchy.root.pem for hierarchy in made})
        assert 1 == len({hierarchy.intermediate.pem for hierarchy in made})

    def test_keys_are_for_the_owner(self, tmp_path: Path) -> None:
        """
        Whoever reads the key of a trusted root can be any site for that browser.
        """
        Hierarchy.open(tmp_path, NOW)
        assert 0o600 == (tmp_path / KEYS_FILE).stat().st_mode & 0o777

    def test_the_certificate_is_for_everybody(self, tmp_path: Path) -> None:
        """
        It stands in a file of its own, without a key.
        """
        hierarchy = Hierarchy.open(tmp_path, NOW)
        file = tmp_path / ROOT_FILE
        assert (hierarchy.root.pem, 0o644) == (file.read_bytes(), file.stat().st_mode & 0o777)

    def test_a_lost_certificate_comes_back(self, tmp_path: Path) -> None:
        """
        The keys' file has all of it.
        """
        hierarchy = Hierarchy.open(tmp_path, NOW)
        (tmp_path / ROOT_FILE).unlink()
        Hierarchy.open(tmp_path, NOW)
        assert hierarchy.root.pem == (tmp_path / ROOT_FILE).read_bytes()
