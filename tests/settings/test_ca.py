"""
Tests of the choice of the CA, and of the check of the contact address.
"""

from __future__ import annotations

import re

import pytest

from certworker.settings import CaChoice, contact_problem
from certworker.settings.ca import KNOWN_CAS


class TestCaChoice:
    @pytest.mark.parametrize("known", KNOWN_CAS)
    def test_a_known_ca_is_found_by_name_and_by_url(self, known: CaChoice) -> None:
        """
        The name and the URL of a known CA select the same CA, and so the same account.
        """
        assert CaChoice.named(known.label) is known
        assert CaChoice.named(known.directory_url or known.label) is known

    @pytest.mark.parametrize(
        "url",
        [
            "https://acme-v02.api.letsencrypt.org:443/directory",
            "HTTPS://ACME-v02.API.letsencrypt.org/directory",
        ],
    )
    def test_a_known_url_may_have_another_spelling(self, url: str) -> None:
        """
        Another spelling of the URL selects the same CA, and so the same account and limits.
        """
        assert "letsencrypt" == CaChoice.named(url).label
        assert "letsencrypt" != CaChoice.named(f"{url}2").label

    @pytest.mark.parametrize(
        ("url", "label"),
        [
            ("https://ca.internal:9000/acme/acme/directory", "ca.internal-9000-acme-acme"),
            ("https://ca.internal:9000/acme/other/directory", "ca.internal-9000-acme-other"),
            ("https://dv.acme-v02.api.pki.goog/directory", "dv.acme-v02.api.pki.goog"),
            ("https://127.0.0.1:14000/dir", "127.0.0.1-14000"),
            ("https://[::1]:14000/dir", "1-14000"),
            ("https://development/directory", "development-acme"),
            ("https://ca.internal/../../etc/passwd", "ca.internal-..-..-etc-passwd"),
        ],
    )
    def test_the_label_of_a_url_is_a_unique_file_name(self, url: str, label: str) -> None:
        """
        The label is a valid and distinct name for the directory of the CA's account key.
        """
        choice = CaChoice.named(url)

        assert (choice.label, choice.directory_url) == (label, url)
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", choice.label)

    @pytest.mark.parametrize(
        ("kind", "allowed"), [("public", False), ("staging", False), ("development", True), ("private", True)]
    )
    def test_only_a_private_ca_certifies_private_names(self, kind: str, allowed: bool) -> None:
        """
        Only development CAs and private CAs issue certificates for private names.
        """
        assert CaChoice("x", "X", None, kind).private_names is allowed  # type: ignore[arg-type] # a parameter of the test is a str


class TestContactProblem:
    @pytest.mark.parametrize(
        "email", ["admin@shop.org", "first.last+certs@mail.shop.co.uk", "a@xn--mller-kva.de"]
    )
    def test_a_valid_address_has_no_problem(self, email: str) -> None:
        """
        A valid address has no problem.
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
    def test_an_invalid_address_has_a_problem(self, email: str | None, words: str) -> None:
        """
        Each address that Boulder rejects with invalidContact has a problem.

        The request for the account counts against a rate limit, even if Boulder rejects it.
        """
        assert words in str(contact_problem(email))
