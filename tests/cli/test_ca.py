"""
The CA that a command speaks to.
"""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from certworker.cli.ca import ca_choice, connect_to_ca
from certworker.settings import load

TWO = {"CERTWORKER_AUTHORITY": "letsencrypt-staging, development"}


class TestChoiceOf:
    def test_without_a_label_it_is_the_first(self) -> None:
        """
        Most have only one.
        """
        assert "letsencrypt-staging" == ca_choice(load(TWO), None).label

    def test_a_label_names_any_of_them(self) -> None:
        """
        A certificate belongs to the CA that issued it.
        """
        assert "development" == ca_choice(load(TWO), "development").label

    def test_another_one_is_refused_with_those_that_are_set(self) -> None:
        """
        Its account may be of other settings.
        """
        with pytest.raises(click.ClickException, match=r"letsencrypt-staging, development"):
            ca_choice(load(TWO), "letsencrypt")


class TestOpened:
    def test_the_embedded_one_runs_for_as_long_as_it_is_needed(self, tmp_path: Path) -> None:
        """
        Inside the worker it cannot be reached from a shell.
        """
        settings = load({"CERTWORKER_STATE_DIR": str(tmp_path)})

        with connect_to_ca(settings, settings.authority) as authority:
            authority.check()
            assert authority.account_admin.info() is None
