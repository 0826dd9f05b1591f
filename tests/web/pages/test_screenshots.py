"""
Tests of the screenshots in the documentation.
"""

from __future__ import annotations

import pytest

from tests.web.pages.screenshots import IMAGES, pictures

PNG = b"\x89PNG\r\n\x1a\n"
GUIDE = IMAGES.parent / "guides" / "dashboard.md"


class TestScreenshots:
    @pytest.mark.parametrize("file", pictures())
    def test_each_picture_exists_and_is_shown(self, file: str) -> None:
        """
        `make docs-screenshots` has written each picture, and the guide shows it.
        """
        assert (IMAGES / file).read_bytes().startswith(PNG)
        assert file in GUIDE.read_text()
