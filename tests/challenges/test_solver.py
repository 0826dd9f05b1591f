"""
Answers, for exactly as long as the CA looks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import pytest

from certworker.challenges.challenge import Http01Challenge
from certworker.challenges.solver import present
from certworker.errors.ca import NotAcme
from certworker.errors.fs import VolumeFault

ANSWERS = (Http01Challenge("one.shop.org", "t1", "t1.x"), Http01Challenge("two.shop.org", "t2", "t2.x"))


@dataclass
class Board:
    """
    A solver that keeps what stands on it; it may run out of chalk.
    """

    standing: list[str] = field(default_factory=list)
    full_at: int = 10
    sticks: bool = False

    def present(self, answer: Http01Challenge) -> None:
        """
        Write it down.
        """
        if len(self.standing) == self.full_at:
            raise VolumeFault(path="board", reason="no chalk")
        self.standing.append(answer.token)

    def clean_up(self, answer: Http01Challenge) -> None:
        """
        Wipe it off.
        """
        if self.sticks:
            raise VolumeFault(path="board", reason="no sponge")
        if answer.token in self.standing:
            self.standing.remove(answer.token)


class TestPresent:
    def test_all_answers_stand_everywhere_before_the_ca_is_told(self) -> None:
        """
        The CA looks within milliseconds, and any of the frontends may be asked.
        """
        boards = [Board(), Board()]

        with present(ANSWERS, boards):
            assert [["t1", "t2"], ["t1", "t2"]] == [board.standing for board in boards]

        assert [[], []] == [board.standing for board in boards]

    def test_they_are_taken_away_after_a_failure(self) -> None:
        """
        An order that fails is ordered again, with other tokens.
        """
        board = Board()

        with pytest.raises(NotAcme), present(ANSWERS, [board]):
            raise NotAcme(host="ca", found="page")

        assert [] == board.standing

    def test_what_stood_already_is_taken_away_when_another_cannot_stand(self) -> None:
        """
        A full disk must not leave half of the answers behind.
        """
        boards = [Board(), Board(full_at=1)]

        with pytest.raises(VolumeFault), present(ANSWERS, boards):
            pytest.fail("the CA would have been told")

        assert [[], []] == [board.standing for board in boards]

    def test_a_fault_while_cleaning_up_hides_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        """
        The CA's refusal is what a person must see, not what came after it.
        """
        boards = [Board(sticks=True), Board()]

        with (
            caplog.at_level(logging.WARNING, "certworker.challenges"),
            pytest.raises(NotAcme),
            present(ANSWERS, boards),
        ):
            raise NotAcme(host="ca", found="page")

        assert [] == boards[1].standing
        assert 2 == len(caplog.messages)

    def test_a_fault_while_cleaning_up_ends_no_issuance(self) -> None:
        """
        The certificate is there; a file too many is not worth losing it.
        """
        with present(ANSWERS, [Board(sticks=True)]):
            pass
