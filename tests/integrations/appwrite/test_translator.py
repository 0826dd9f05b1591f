"""
What becomes of a message.
"""

from __future__ import annotations

from typing import Any

import pytest

from certworker.errors.name import NoPublicSuffix, Wildcard
from certworker.integrations.appwrite.messages import Message
from certworker.integrations.appwrite.translator import Translator


def translator(**more: Any) -> Translator:
    """
    A translator that does nothing but translate.
    """
    nothing: dict[str, Any] = {"request": print, "verify": print, "unverified": print, "private_names": False}
    return Translator(**{**nothing, **more})


class TestTranslator:
    def test_the_name_is_a_name_before_anything_else_sees_it(self) -> None:
        """
        It becomes a directory, a file, and a line in a log.
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
        As in Appwrite: neither what somebody insists on, nor the domain that it is reached by.
        """
        assert needs == translator().needs_verification(message)

    def test_a_verification_that_succeeds_is_a_request(self) -> None:
        """
        A generation follows.
        """
        asked: list[tuple[object, ...]] = []

        translator(request=lambda *what: asked.append(what)).verify_and_generate(Message("a.org"))

        assert [("a.org", False)] == asked
