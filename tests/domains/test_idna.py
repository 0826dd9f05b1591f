"""
Tests of international names.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.domains.idna import a_label, is_idna_2008, to_ascii_labels, u_label
from certworker.errors import CertworkerError


class TestMapped:
    def test_a_mapped_text_is_mapped_for_good(self) -> None:
        """
        A second mapping changes nothing, so the checks after the first one see the final text.
        """
        once = to_ascii_labels("ＷＷＷ。ﬁ.Org")

        assert once == to_ascii_labels(once) == "www.fi.org"

    @given(st.characters(min_codepoint=128, exclude_categories=["Cs"]))
    def test_no_character_vanishes(self, character: str) -> None:
        """
        No character is dropped silently: two names that look different stay different.
        """
        try:
            mapped = to_ascii_labels(f"a{character}b")
        except CertworkerError:
            return

        assert len(mapped) > 2


class TestALabel:
    @pytest.mark.parametrize("label", ["mller-kva", "müller", "xn--mller-kva", "xn--e28h", "a--b"])
    def test_what_comes_out_goes_in_again(self, label: str) -> None:
        """
        The name of a certificate on the volume is accepted when it is read again.
        """
        written = a_label("the.name", label)

        assert a_label("the.name", written) == written

    @pytest.mark.parametrize("text", ["a\u0308", "\x80", "ab\u202e"])
    def test_punycode_of_what_cannot_be_a_name_is_refused(self, text: str) -> None:
        """
        Boulder requires NFC, and control characters must not reach a terminal.
        """
        with pytest.raises(CertworkerError) as caught:
            a_label("the.name", "xn--" + text.encode("punycode").decode("ascii"))

        assert caught.value.code == "name.bad_idn"

    def test_punycode_has_one_spelling(self) -> None:
        """
        Each label has one form, so one name cannot get two certificates.
        """
        with pytest.raises(CertworkerError):
            a_label("the.name", "xn--mller-")


class TestReading:
    @pytest.mark.parametrize(("label", "text"), [("xn--mller-kva", "müller"), ("shop", "shop")])
    def test_people_read_letters(self, label: str, text: str) -> None:
        """
        The log shows both forms.
        """
        assert u_label(label) == text

    @pytest.mark.parametrize(
        ("label", "judged"), [("xn--mller-kva", True), ("shop", True), ("xn--e28h", False)]
    )
    def test_symbols_are_older_than_the_rule(self, label: str, judged: bool) -> None:
        """
        They are certified, although some programs do not accept them.
        """
        assert is_idna_2008(label) is judged
