"""
Tests of `certworker account`, and of the CA that a command uses.
"""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from certworker.cli.account import ca_choice, connect_to_ca
from certworker.settings import load
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.worker import WorkerProcess

NAME = "main.localhost"

TWO = {"CERTWORKER_AUTHORITY": "letsencrypt-staging, development"}


def shown(worker: WorkerProcess) -> dict[str, str]:
    """
    Return the output of `certworker account show`.
    """
    ended = worker.command("account", "show")
    assert 0 == ended.returncode, ended.stderr
    return dict(re.split(r"\s+", line, maxsplit=1) for line in ended.stdout.splitlines())


class TestAccount:
    def test_an_account_is_shown_changed_and_deactivated(
        self, worker: WorkerProcess, app_authority: FaultyAuthority
    ) -> None:
        """
        The commands work while a worker uses the account.
        """
        worker.environment["_APP_EMAIL_CERTIFICATES"] = "ops@certworker.dev"
        worker.start()
        worker.wait_for_line(f"{NAME}.*certificate issued")

        before = shown(worker)
        assert ("valid", "mailto:ops@certworker.dev") == (before["status"], before["contact"])

        assert 0 == worker.command("account", "rotate-key").returncode
        after = shown(worker)
        assert before["account"] == after["account"]
        assert before["thumbprint"] != after["thumbprint"]
        assert 0 == worker.command("request", "--wait", "other.localhost").returncode

        ended = worker.command("account", "deactivate", "--yes")
        assert Path(ended.stdout.rpartition(" ")[2].strip()).exists()
        assert 0 == worker.command("request", "--wait", "third.localhost").returncode
        assert after["account"] != shown(worker)["account"]

    def test_an_account_is_not_deactivated_without_confirmation(self, worker: WorkerProcess) -> None:
        """
        The command fails without `--yes`, because a deactivation is permanent.
        """
        worker.start()
        worker.wait_for_line(f"{NAME}.*certificate issued")

        assert 1 == worker.command("account", "deactivate").returncode
        assert "valid" == shown(worker)["status"]

    def test_before_the_first_order_there_is_no_account(self, worker: WorkerProcess) -> None:
        """
        Each command fails, and none of them creates an account.
        """
        for command in (["show"], ["rotate-key"], ["deactivate", "--yes"]):
            ended = worker.command("account", *command)

            assert 1 == ended.returncode
            assert "no account" in ended.stderr

    def test_the_development_ca_has_accounts_too(self, worker: WorkerProcess) -> None:
        """
        The commands change the account at the development CA, which runs inside the worker.
        """
        worker.environment["CERTWORKER_AUTHORITY"] = "development"
        worker.start()
        worker.wait_for_line(f"{NAME}.*certificate issued")

        assert 0 == worker.command("account", "rotate-key").returncode
        assert 0 == worker.command("request", "--wait", "other.localhost").returncode


class TestCaChoice:
    def test_without_a_label_the_first_ca_is_used(self) -> None:
        """
        Without a label, the command uses the first CA of the settings.
        """
        assert "letsencrypt-staging" == ca_choice(load(TWO), None).label

    def test_a_label_selects_a_ca(self) -> None:
        """
        A label selects any CA of the settings.
        """
        assert "development" == ca_choice(load(TWO), "development").label

    def test_an_unknown_label_is_refused_with_the_known_labels(self) -> None:
        """
        The message lists the labels of the settings.
        """
        with pytest.raises(click.ClickException, match=r"letsencrypt-staging, development"):
            ca_choice(load(TWO), "letsencrypt")


class TestConnectToCa:
    def test_the_development_ca_runs_while_the_command_needs_it(self, tmp_path: Path) -> None:
        """
        The command starts its own development CA, because it cannot reach the one inside the worker.
        """
        settings = load({"CERTWORKER_STATE_DIR": str(tmp_path)})

        with connect_to_ca(settings, settings.authority) as authority:
            authority.check()
            assert authority.account_admin.info() is None
