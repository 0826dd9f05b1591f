"""
Tests of the accounts that workers on several hosts share.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from certworker.acme.account import AccountFiles
from certworker.certificates import PrivateKey
from certworker.errors.replication import BundleDamaged
from certworker.replication.accounts import Accounts
from certworker.replication.bundle import opened_entry
from certworker.replication.sealing import ReplicationKeys

KEYS = ReplicationKeys([ReplicationKeys.generate()])
LABEL = "127.0.0.1:14000"


def account(directory: Path, registration: str = "{}") -> bytes:
    """
    Store an account with a new key, and return the key.
    """
    place = directory / LABEL
    place.mkdir(parents=True, exist_ok=True)
    key = PrivateKey.generate().pem
    (place / "key.pem").write_bytes(key)
    (place / "account.json").write_text(registration)
    return key


def send(origin: Accounts, target: Accounts) -> list[bool]:
    """
    Store the accounts of *origin* in *target*.
    """
    opened = [(opened_entry(entry, KEYS)[1], entry["names"]) for entry in origin.entries()]
    return [target.receive(content, names) for content, names in opened]


def test_another_host_gets_the_account(tmp_path: Path) -> None:
    """
    The key and the registration arrive once, and only the owner can read them.
    """
    here, there = Accounts(tmp_path / "here", KEYS), Accounts(tmp_path / "there", KEYS)
    key = account(tmp_path / "here", '{"url": "https://ca.example/1"}')

    assert [True] == send(here, there)
    assert [False] == send(here, there)
    assert [False] == send(there, here)
    received = tmp_path / "there" / LABEL
    assert key == (received / "key.pem").read_bytes()
    assert '{"url": "https://ca.example/1"}' == (received / "account.json").read_text()
    assert 0o600 == stat.S_IMODE((received / "key.pem").stat().st_mode)


def test_the_later_key_counts(tmp_path: Path) -> None:
    """
    A replaced key reaches the other host, and an old bundle does not restore it. The old key is not lost.
    """
    here, there = Accounts(tmp_path / "here", KEYS), Accounts(tmp_path / "there", KEYS)
    old = account(tmp_path / "here")
    (earlier,) = here.entries()
    send(here, there)
    new = account(tmp_path / "here")

    assert [True] == send(here, there)
    assert not there.receive(opened_entry(earlier, KEYS)[1], earlier["names"])
    directory = tmp_path / "there" / LABEL
    assert new == (directory / "key.pem").read_bytes()
    assert [old] == [path.read_bytes() for path in directory.glob("key.pem.*.bak")]


def test_a_deactivated_key_does_not_return(tmp_path: Path) -> None:
    """
    A host on which the account was deactivated accepts no bundle with its key, but the next key.
    """
    here, there = Accounts(tmp_path / "here", KEYS), Accounts(tmp_path / "there", KEYS)
    account(tmp_path / "here")
    send(here, there)
    AccountFiles(tmp_path / "there" / LABEL, "").retire_key()

    assert [False] == send(here, there)
    assert not (tmp_path / "there" / LABEL / "key.pem").exists()
    account(tmp_path / "here")
    assert [True] == send(here, there)


def test_a_change_is_published_once(tmp_path: Path) -> None:
    """
    Only changed accounts are published, and none while its key changes.
    """
    here = Accounts(tmp_path, KEYS)
    assert [] == list(here.changed_entries())
    account(tmp_path)
    assert 1 == len(list(here.changed_entries()))
    assert [] == list(here.changed_entries())
    account(tmp_path)
    (tmp_path / LABEL / "key.next.pem").touch()
    assert [] == list(here.changed_entries())
    (tmp_path / LABEL / "key.next.pem").unlink()
    assert 1 == len(list(here.changed_entries()))


def test_an_invalid_account_is_rejected(tmp_path: Path) -> None:
    """
    A label is not a path, and a key is a key.
    """
    here = Accounts(tmp_path / "here", KEYS)
    good = {"key": PrivateKey.generate().pem.decode(), "registration": "{}", "changed": 1, "registered": 1}
    invalid = [
        (good, ["../../etc"]),
        (good, [".hidden"]),
        (good, []),
        (good, {}),
        (good | {"key": "x"}, ["ca"]),
        (good | {"changed": 2**64}, ["ca"]),
        (good | {"registration": None}, ["ca"]),
    ]
    for content, names in invalid:
        with pytest.raises(BundleDamaged):
            here.receive(json.dumps(content).encode(), json.dumps(names).encode())
    assert not (tmp_path / "here").exists()
