"""
Tests of the warnings about an accepted name.
"""

from __future__ import annotations

import pytest

from certworker.domains import normalize, warnings_for

WARNINGS = [
    # given, a part of the warning
    (" api.shop.org\n", "spaces"),
    ("ａpi.shop.org", "plain forms"),
    ("a。b.com", "plain forms"),
    ("müller.de", "it reads müller.de"),
    ("xn--mller-kva.de", "it reads müller.de"),
    ("аpple.com", "mixes Cyrillic and Latin letters"),
    ("xn--pple-43d.com", "mixes Cyrillic and Latin letters"),
    ("xn--e28h.com", "IDNA 2008"),
    ("foo.github.io", "github.io belongs to others"),
    ("1-2-3-4.sslip.io", "share one weekly limit"),
]


class TestRemarks:
    @pytest.mark.parametrize(("given", "words"), WARNINGS)
    def test_a_surprising_name_causes_a_warning(self, given: str, words: str) -> None:
        """
        The name is accepted with a warning.
        """
        assert words in " ".join(warnings_for(given, normalize(given)))

    @pytest.mark.parametrize(
        "given", ["api.shop.org", "API.Shop.ORG", "api.shop.org.", "shop.co.uk", "8.8.8.8"]
    )
    def test_a_plain_name_causes_no_warning(self, given: str) -> None:
        """
        A plain name causes no warning.
        """
        assert warnings_for(given, normalize(given)) == []

    def test_an_international_name_is_shown_as_it_reads_and_no_more(self) -> None:
        """
        The warning shows the readable form only.
        """
        assert warnings_for("müller.de", normalize("müller.de")) == ["it reads müller.de"]

    @pytest.mark.parametrize("given", ["наука.рф", "münchen.de", "東京タワー.jp", "xn--mgba3gch31f060k.com"])
    def test_honest_scripts_are_not_suspected(self, given: str) -> None:
        """
        A name in one script, or in the three scripts of Japanese, is not suspicious.
        """
        assert not [text for text in warnings_for(given, normalize(given)) if "mixes" in text]

    def test_private_names_share_no_suffix(self) -> None:
        """
        Private names share no suffix.
        """
        assert warnings_for("demo.localhost", normalize("demo.localhost", private=True)) == []
