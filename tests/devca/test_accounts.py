"""
Test accounts and their files.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certworker.devca.accounts import Accounts
from tests.servers.acme_client import account_key


@pytest.fixture
def accounts(tmp_path: Path) -> Accounts:
    """
    Return an empty store of accounts.
    """
    return Accounts(tmp_path / "accounts")


class TestAccounts:
    def test_an_account_is_found_by_id_and_by_key(self, accounts: Accounts) -> None:
        """
        An account is found by its ID, which most requests name, and by its key, which newAccount has.
        """
        key = account_key().public_key()
        account = accounts.add(key, ("mailto:a@b.example",))
        assert account == accounts.get(account.id) == accounts.with_key(key)
        assert accounts.get("other") is None
        assert accounts.with_key(account_key().public_key()) is None

    def test_replicas_share_accounts(self, accounts: Accounts, tmp_path: Path) -> None:
        """
        A replica finds an account that another replica has stored.
        """
        replica = Accounts(tmp_path / "accounts")
        key = account_key().public_key()
        account = accounts.add(key, ("mailto:a@b.example",))
        assert account == replica.get(account.id) == replica.with_key(key)

    def test_only_the_owner_can_read_the_files(self, accounts: Accounts, tmp_path: Path) -> None:
        """
        Only the owner can read the files, because they contain e-mail addresses.
        """
        accounts.add(account_key().public_key(), ())
        (file,) = (tmp_path / "accounts").iterdir()
        assert (0o600, 0o700) == (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777)

    def test_a_change_survives_a_restart(self, accounts: Accounts, tmp_path: Path) -> None:
        """
        A changed account survives a restart, with its new key.
        """
        account = accounts.add(account_key().public_key(), ())
        key = account_key().public_key()
        changed = accounts.change(account, key=key, status="deactivated")
        assert changed == Accounts(tmp_path / "accounts").with_key(key)
        assert accounts.with_key(account.key) is None

    def test_removed_accounts_do_not_exist(self, accounts: Accounts, tmp_path: Path) -> None:
        """
        A removed account exists neither in memory nor on the disk.
        """
        account = accounts.add(account_key().public_key(), ())
        accounts.forget()
        assert accounts.get(account.id) is None
        assert [] == list((tmp_path / "accounts").iterdir())
