"""
Tests of the requests for responses.
"""

from __future__ import annotations

import time
from threading import Thread

import pytest

from certworker.challenges.fetches import Fetches

#: A wait without a request would take this long.
ENDLESS_SECONDS = 600.0


@pytest.fixture
def fetches() -> Fetches:
    """
    Return the requests for two tokens.
    """
    fetches = Fetches()
    fetches.expect("one")
    fetches.expect("two")
    return fetches


def test_a_wait_ends_after_a_request_for_each_token(fetches: Fetches) -> None:
    """
    A wait ends soon after each token was requested, in any order, before or during the wait.
    """
    fetches.note("two")
    waiting = Thread(target=fetches.wait, args=(["one", "two"], ENDLESS_SECONDS), daemon=True)
    waiting.start()
    assert waiting.is_alive()

    fetches.note("one")
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_wait_without_requests_ends_at_its_limit(fetches: Fetches) -> None:
    """
    If another worker responds, the wait lasts for its whole time.
    """
    fetches.note("one")
    began = time.monotonic()

    fetches.wait(["one", "two", "unknown"], 0.02)

    assert time.monotonic() - began >= 0.02


def test_an_unexpected_request_is_not_recorded(fetches: Fetches) -> None:
    """
    Requests for unknown or forgotten tokens, which anybody can send, use no memory.
    """
    fetches.forget("one")
    fetches.forget("one")
    for token in ("one", "unknown"):
        fetches.note(token)

    assert ["two"] == list(fetches._fetches)
