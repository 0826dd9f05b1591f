"""
Tests of the rules for the names that a proxy may serve.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.errors.config import InvalidSettings
from certworker.settings import load
from certworker.settings.ask import AskRules

URL = "https://user:secret@platform.example.com/allowed?key=1"


def rules(text: str) -> AskRules:
    """
    Return the rules of the setting *text*.
    """
    return load({"CERTWORKER_ASK_ALLOW": text}).customers.ask_allow


class TestRules:
    def test_nothing_is_allowed_by_default(self) -> None:
        """
        Without rules, a proxy may serve only known names.
        """
        assert AskRules() == rules("")

    def test_suffixes_and_a_url_are_separated_by_commas(self) -> None:
        """
        A suffix may begin with a dot or a star, as in other programs.
        """
        found = rules(f"Shops.example.com, .example.org,*.example.net,{URL},example.org")

        assert AskRules(("shops.example.com", "example.org", "example.net"), URL) == found
        assert "secret" not in repr(found)

    def test_a_file_may_have_the_rules(self, tmp_path: Path) -> None:
        """
        The URL may be a secret, so a file may have it.
        """
        (tmp_path / "rules").write_text(URL)

        assert URL == load({"CERTWORKER_ASK_ALLOW_FILE": str(tmp_path / "rules")}).customers.ask_allow.url

    @pytest.mark.parametrize(
        "text",
        [
            "com",
            "co.uk",
            "*",
            ".",
            "*.com",
            "10.0.0.1",
            "::1",
            "a b",
            f"{URL},{URL}",
            "https://",
            "ftp://x.org",
        ],
    )
    def test_an_invalid_rule_is_refused(self, text: str) -> None:
        """
        A public suffix would allow all names of others, and an address has no names below it.
        """
        with pytest.raises(InvalidSettings, match="CERTWORKER_ASK_ALLOW") as caught:
            rules(text)
        assert "secret" not in str(caught.value)


class TestSuffix:
    @pytest.mark.parametrize(
        ("name", "is_allowed"),
        [
            ("example.org", True),
            ("a.example.org", True),
            ("a.b.example.org", True),
            ("example.org.evil.com", False),
            ("evilexample.org", False),
            ("org", False),
        ],
    )
    def test_a_suffix_allows_itself_and_all_names_below(self, name: str, is_allowed: bool) -> None:
        """
        Only whole labels count.
        """
        assert is_allowed == rules("example.org").has_suffix_of(name)
