"""
Tests of international names.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.domains.idna import a_label, is_idna_2008, to_ascii_labels, u_label
from certworker.errors import CertworkerError


class TestToAsciiLabels:
    def test_a_second_mapping_changes_nothing(self) -> None:
        """
        A second mapping changes nothing, so that the checks after the first one see the final text.
        """
        once = to_ascii_labels("ＷＷＷ。ﬁ.Org")

        assert once == to_ascii_labels(once) == "www.fi.org"

    @given(st.characters(min_codepoint=128, exclude_categories=["Cs"]))
    def test_no_character_is_dropped(self, character: str) -> None:
        """
        No character is dropped without an error, so that different names remain different.
        """
        try:
            mapped = to_ascii_labels(f"a{character}b")
        except CertworkerError:
            return

        assert len(mapped) > 2


class TestALabel:
    @pytest.mark.parametrize("label", ["mller-kva", "müller", "xn--mller-kva", "xn--e28h", "a--b"])
    def test_a_converted_label_is_not_converted_again(self, label: str) -> None:
        """
        A converted label is accepted and unchanged, because certworker reads names from the volume.
        """
        written = a_label("the.name", label)

        assert a_label("the.name", written) == written

    @pytest.mark.parametrize("text", ["a\u0308", "\x80", "ab\u202e"])
    def test_punycode_of_an_invalid_text_is_refused(self, text: str) -> None:
        """
        Punycode of a text that is not NFC, or has control characters, is refused.
        """
        with pytest.raises(CertworkerError) as caught:
            a_label("the.name", "xn--" + text.encode("punycode").decode("ascii"))

        assert caught.value.code == "name.bad_idn"

    def test_punycode_has_one_spelling(self) -> None:
        """
        Another spelling of the same punycode is refused, so that a label has one form.
        """
        with pytest.raises(CertworkerError):
            a_label("the.name", "xn--mller-")


class TestULabel:
    @pytest.mark.parametrize(("label", "text"), [("xn--mller-kva", "müller"), ("shop", "shop")])
    def test_punycode_is_converted_to_letters(self, label: str, text: str) -> None:
        """
        The label is converted to letters, because the log shows both forms.
        """
        assert u_label(label) == text

    @pytest.mark.parametrize(
        ("label", "valid"), [("xn--mller-kva", True), ("shop", True), ("xn--e28h", False)]
    )
    def test_symbols_are_not_valid_in_idna_2008(self, label: str, valid: bool) -> None:
        """
        Symbols are not valid in IDNA 2008, so some programs do not accept them.
        """
        assert is_idna_2008(label) is valid
