"""
URLs and links, as CAs write them.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certworker.acme.references import MOST_LINKS, Link, is_secure, links_of, resolved

BASE = "https://ca.example/acme/new-order"


class TestResolved:
    @pytest.mark.parametrize(
        ("reference", "url"),
        [
            ("https://ca.example/order/1", "https://ca.example/order/1"),
            ("/order/1", "https://ca.example/order/1"),
            ("order/1", "https://ca.example/acme/order/1"),
            ("../order/1?a=b", "https://ca.example/order/1?a=b"),
            ("//other.example/1", "https://other.example/1"),
            ("?page=2", "https://ca.example/acme/new-order?page=2"),
            ("", BASE),
            (" /order/1 ", "https://ca.example/order/1"),
            ("/order/1#part", "https://ca.example/order/1"),
        ],
    )
    def test_a_relative_reference_is_resolved(self, reference: str, url: str) -> None:
        """
        Location and Link are URI references (RFC 9110, section 10.2.2; RFC 8288, section 3.1).
        """
        assert url == resolved(reference, BASE)

    @pytest.mark.parametrize(
        "reference",
        ["ftp://ca.example/", "file:///etc", "http://[", "https://:443/", "http://x:99999/", "mailto:a@b"],
    )
    def test_a_reference_to_something_else_is_refused(self, reference: str) -> None:
        """
        A request goes to a URL of HTTP with a host and a valid port.
        """
        with pytest.raises(ValueError, match=r".+"):
            resolved(reference, BASE)

    @given(st.text())
    def test_any_text_is_a_url_or_a_value_error(self, reference: str) -> None:
        """
        A text that a CA sends never raises another exception.
        """
        try:
            url = resolved(reference, BASE)
        except ValueError:
            return
        assert url.isprintable()
        assert url == resolved(url, BASE)


class TestIsSecure:
    def test_https_is_secure(self) -> None:
        """
        The scheme decides, in capitals as well.
        """
        assert is_secure("https://ca.example/")
        assert is_secure("HTTPS://ca.example/")
        assert not is_secure("http://ca.example/")


class TestLinks:
    @pytest.mark.parametrize(
        ("header", "links"),
        [
            ("<https://ca/1>;rel=up", [("https://ca/1", ("up",))]),
            ('</1> ; rel = "Alternate index"', [("/1", ("alternate", "index"))]),
            ('</a,b;c>; rel="up", </2>; REL=index', [("/a,b;c", ("up",)), ("/2", ("index",))]),
            (r'</1>; title="a \"quoted\", <comma>"; rel=up', [("/1", ("up",))]),
            ("</1>; rel=up; rel=index", [("/1", ("up",))]),
            ("</1>", [("/1", ())]),
            ("</1>; crossorigin; rel=up", [("/1", ("up",))]),
            (", ,</1>;rel=up,", [("/1", ("up",))]),
            ("</1", []),
            ("nonsense, </1>; rel=up", []),
            ("", []),
        ],
    )
    def test_a_header_is_read_as_rfc_8288_has_it(
        self, header: str, links: list[tuple[str, tuple[str, ...]]]
    ) -> None:
        """
        Relation types compare without case, may be several, and the first `rel` of a link counts.
        """
        assert links == [(link.target, link.relations) for link in links_of(header)]

    def test_an_anchor_is_part_of_the_link(self) -> None:
        """
        Such a link may start from another resource than the answer (RFC 8288, section 3.2).
        """
        assert [Link("/1", ("up",), "/other")] == list(links_of('</1>; rel=up; anchor="/other"'))

    def test_an_endless_header_is_cut_off(self) -> None:
        """
        A CA that sends thousands of links costs no more than one that sends a hundred.
        """
        assert MOST_LINKS == len(list(links_of("</1>;rel=up," * 10_000)))

    @given(st.text(alphabet='<>;,="\\ relup/1\t', max_size=60))
    def test_any_header_can_be_read(self, header: str) -> None:
        """
        A header of a CA never raises an exception.
        """
        assert all(isinstance(link, Link) for link in links_of(header))
