"""
Tests of `certworker token`.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path

from certworker.web.tokens import TokenFile
from tests.servers.worker import WorkerProcess


class TestToken:
    def test_a_token_is_printed_once_listed_and_revoked(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        The standard output has only the token, and later commands show its id.
        """
        path = tmp_path / "tokens.json"
        worker.environment["CERTWORKER_TOKENS_FILE"] = str(path)
        created = worker.command("token", "create", "--role", "operate", "--tenant", "acme")
        token = created.stdout.strip()
        found = TokenFile(path).find(token)
        assert found is not None, created.stderr
        listed = worker.command("token", "list", "--json")
        line = json.loads(listed.stdout)
        revoked = worker.command("token", "revoke", found.id)

        assert ("operate", "acme") == (found.role, found.tenant)
        assert {"id", "role", "tenant", "created"} == set(line)
        assert (found.id, "operate", "acme") == (line["id"], line["role"], line["tenant"])
        assert token not in listed.stdout
        assert 0 == revoked.returncode
        assert not path.exists()
        assert "No token exists" in worker.command("token", "list").stdout

    def test_without_a_setting_the_file_is_in_the_directory_of_the_state(
        self, worker: WorkerProcess, tmp_path: Path
    ) -> None:
        """
        Only the owner can read the default file.
        """
        created = worker.command("token", "create", "--role", "read")
        path = tmp_path / "state" / "web" / "tokens.json"

        assert 0 == created.returncode, created.stderr
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)
        headings, line = worker.command("token", "list").stdout.splitlines()
        assert ["ID", "ROLE", "TENANT", "CREATED"] == headings.split()
        assert headings.index("TENANT") == line.index("all names")

    def test_wrong_uses_are_messages(self, worker: WorkerProcess, tmp_path: Path) -> None:
        """
        An unknown id and a file with other content have exit code 1, and a wrong tenant has 2.
        """
        path = tmp_path / "tokens.json"
        worker.environment["CERTWORKER_TOKENS_FILE"] = str(path)
        unknown = worker.command("token", "revoke", "0123456789ab")
        tenant = worker.command("token", "create", "--role", "read", "--tenant", "a b")
        no_tenant = worker.command("token", "create", "--role", "read", "--tenant", "")
        path.write_text("tokens: 5")
        other = worker.command("token", "create", "--role", "read")
        listed = worker.command("token", "list")

        ended = (unknown, tenant, no_tenant, other, listed)
        assert [1, 2, 2, 1, 1] == [each.returncode for each in ended]
        assert "No token has this id." in unknown.stderr
        assert "TENANT must consist of 1 to 100" in tenant.stderr
        assert "TENANT must consist of 1 to 100" in no_tenant.stderr
        assert f"{path} cannot be used: it has no list of tokens." in other.stderr
        assert f"{path} cannot be used: it has no list of tokens." in listed.stderr
        assert "No token exists" not in listed.stdout
        assert "Traceback" not in unknown.stderr + tenant.stderr + other.stderr
        assert "tokens: 5" == path.read_text()

    def test_the_help_shows_each_line_completely(self, worker: WorkerProcess) -> None:
        """
        The help of the group cuts off no description.
        """
        assert "..." not in worker.command("token", "--help").stdout.partition("Commands:")[2]
