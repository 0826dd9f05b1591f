"""
The CA and the HTTP port, as values.
"""

from __future__ import annotations

import re

import pytest

from certworker.settings import CaChoice, HttpAddress
from certworker.settings.ca import KNOWN_CAS


class TestHttpAddress:
    @pytest.mark.parametrize("text", ["0.0.0.0:8080", "[::]:8080", "localhost:0", "[2001:db8::1]:65535"])
    def test_it_reads_as_it_is_written(self, text: str) -> None:
        """
        It is shown in the log as the operator knows it.
        """
        assert str(HttpAddress.parse(text)) == text

    def test_the_brackets_are_not_part_of_the_host(self) -> None:
        """
        A socket is bound to the bare address.
        """
        assert HttpAddress.parse("[::]:8080") == HttpAddress("::", 8080)


class TestAuthorityChoice:
    @pytest.mark.parametrize("known", KNOWN_CAS)
    def test_a_known_ca_is_itself_by_name_and_by_url(self, known: CaChoice) -> None:
        """
        Whoever writes the URL of Let's Encrypt has one account with it, not two.
        """
        assert CaChoice.named(known.label) is known
        assert CaChoice.named(known.directory_url or known.label) is known

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
    def test_the_label_of_a_url_is_a_file_name_of_its_own(self, url: str, label: str) -> None:
        """
        Account keys lie under it: one per CA, whatever it is called.
        """
        choice = CaChoice.named(url)

        assert (choice.label, choice.directory_url) == (label, url)
        assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", choice.label)

    @pytest.mark.parametrize(
        ("kind", "allowed"), [("public", False), ("staging", False), ("development", True), ("private", True)]
    )
    def test_only_a_ca_of_ones_own_knows_private_names(self, kind: str, allowed: bool) -> None:
        """
        A public one is not even asked.
        """
        assert CaChoice("x", "X", None, kind).private_names is allowed  # type: ignore[arg-type]
