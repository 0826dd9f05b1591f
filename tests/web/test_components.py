"""
Tests of the components that the views use.
"""

from __future__ import annotations

from pathlib import Path

from tests.web.application import open_application


class TestWebComponents:
    def test_the_application_has_its_components(self, tmp_path: Path) -> None:
        """
        Each view finds the components in the extensions of the application.
        """
        components = open_application(tmp_path / "tokens", base_path="/certs").extensions["certworker"]

        assert ("/certs", None) == (components.base_path, components.index)
