"""
Tests of the translation of messages.
"""

from __future__ import annotations

from typing import Any

import pytest

from certworker.errors.name import NoPublicSuffix, Wildcard
from certworker.integrations.appwrite.messages import Message
from certworker.integrations.appwrite.translator import Translator


def translator(**more: Any) -> Translator:
    """
    Return a translator without effects.
    """
    nothing: dict[str, Any] = {"request": print, "verify": print, "unverified": print, "private_names": False}
    return Translator(**{**nothing, **more})


class TestTranslator:
    def test_the_name_is_a_name_before_anything_else_sees_it(self) -> None:
        """
        The name is normalized before any use.
        """
        assert "xn--mller-kva.de" == translator().name_of(Message(" Müller.de. "))
        with pytest.raises(Wildcard):
            translator().name_of(Message("*.example.org"))
        with pytest.raises(NoPublicSuffix):
            translator().name_of(Message("shop.test"))
        assert "shop.test" == translator(private_names=True).name_of(Message("shop.test"))

    @pytest.mark.parametrize(
        ("message", "needs"),
        [
            (Message("a.org"), False),
            (Message("a.org", "verification"), True),
            (Message("a.org", "verification", force=True), False),
            (Message("a.org", "verification", validation_domain="a.org"), False),
            (Message("a.org", "verification", validation_domain="b.org"), True),
        ],
    )
    def test_who_is_verified(self, message: Message, needs: bool) -> None:
        """
        Forced requests and Appwrite's own domain are not verified.
        """
        assert needs == translator().needs_verification(message)

    def test_a_verification_that_succeeds_is_a_request(self) -> None:
        """
        A successful verification leads to a request.
        """
        asked: list[tuple[object, ...]] = []

        translator(request=lambda *what: asked.append(what)).verify_and_generate(Message("a.org"))

        assert [("a.org", False)] == asked
