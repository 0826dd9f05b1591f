"""
Whether a CA would take an e-mail address.
"""

from __future__ import annotations

import pytest

from certworker.settings import contact_problem


class TestContactProblem:
    @pytest.mark.parametrize(
        "email", ["admin@shop.org", "first.last+certs@mail.shop.co.uk", "a@xn--mller-kva.de"]
    )
    def test_a_good_address_has_none(self, email: str) -> None:
        """
        It goes to the CA as it is.
        """
        assert contact_problem(email) is None

    @pytest.mark.parametrize(
        ("email", "words"),
        [
            (None, "missing"),
            ("", "missing"),
            ("admin@example.com", "placeholders"),
            ("admin@EXAMPLE.org", "placeholders"),
            ("admin@mail.example.net", "placeholders"),
            ("admín@shop.org", "ASCII"),
            ("admin@müller.de", "ASCII"),
            ("admin", "public name"),
            ("admin@", "public name"),
            ("admin@localhost", "public name"),
            ("admin@server", "public name"),
            ("admin@shop.internal", "public name"),
            ("admin@8.8.8.8", "public name"),
            ("admin@[2606:4700::1111]", "public name"),
            ("admin@shop.org?subject=x", "public name"),
            ("admin@shop.org#x", "public name"),
            ("a@shop.org,b@shop.org", "public name"),
            ("@shop.org", "plain address"),
            ("Admin <admin@shop.org>", "plain address"),
            ("mailto:admin@shop.org", "plain address"),
            ("ad min@shop.org", "plain address"),
            ("you@yourdomain", "public name"),
        ],
    )
    def test_a_bad_one_is_told_before_the_ca_would(self, email: str | None, words: str) -> None:
        """
        Boulder answers invalidContact to each of them, after an account request that it counts.
        """
        assert words in str(contact_problem(email))
