"""
The accounts of the CA's clients, stored in the state directory.

Each account has a file, so that it survives a restart.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from josepy import b64
from josepy.jwk import JWK

from certworker.storage import durable


@dataclass(frozen=True)
class Account:
    """
    An account. A change creates a new value with the same id.
    """

    id: str
    key: JWK
    contact: tuple[str, ...] = ()
    status: str = "valid"

    def as_json(self) -> dict[str, Any]:
        """
        Return the account object (RFC 8555, section 7.1.2).
        """
        return {"status": self.status, "contact": list(self.contact), "termsOfServiceAgreed": True}


def thumbprint(key: JWK) -> str:
    """
    Return the SHA-256 thumbprint of *key* (RFC 7638), as in a key authorization.
    """
    return b64.b64encode(key.thumbprint()).decode()


def read_key(content: Any) -> JWK:
    """
    Return the key in the JSON object *content* (RFC 7517).

    Raises:
        josepy.errors.Error, ValueError, KeyError, TypeError, AttributeError: *content* is not a key.
    """
    key = JWK.from_json(content)
    assert isinstance(key, JWK)  # noqa: S101 (josepy states a wider type)
    return key


class Accounts:
    """
    All accounts, by id and by key.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        durable.make_directory(directory, 0o700)
        self._known: dict[str, Account] = {}
        self._by_key: dict[str, str] = {}

    def get(self, identifier: str) -> Account | None:
        """
        Return the account *identifier*, even if another replica has created it; None if there is none.
        """
        if identifier not in self._known:
            self._read_all()
        return self._known.get(identifier)

    def with_key(self, key: JWK) -> Account | None:
        """
        Return the account of *key*; None if there is none.
        """
        if thumbprint(key) not in self._by_key:
            self._read_all()
        return self._known.get(self._by_key.get(thumbprint(key), ""))

    def add(self, key: JWK, contact: tuple[str, ...]) -> Account:
        """
        Create and return an account for *key*.
        """
        return self._save(Account(secrets.token_hex(8), key, contact))

    def change(self, account: Account, **changes: Any) -> Account:
        """
        Store *account* with *changes*, and return the new value.
        """
        self._by_key.pop(thumbprint(account.key), None)
        return self._save(replace(account, **changes))

    def forget(self) -> None:
        """
        Remove all accounts, as if the CA had been reinstalled.
        """
        for file in self._directory.glob("*.json"):
            file.unlink(missing_ok=True)
        self._known.clear()
        self._by_key.clear()

    def _save(self, account: Account) -> Account:
        content = {
            "id": account.id,
            "key": account.key.to_json(),
            "contact": list(account.contact),
            "status": account.status,
        }
        durable.write(self._directory / f"{account.id}.json", json.dumps(content).encode(), 0o600)
        self._remember(account)
        return account

    def _read_all(self) -> None:
        # Another replica may have written accounts. There are few of them, so all are read.
        for file in self._directory.glob("*.json"):
            content = json.loads(file.read_bytes())
            key, contact = read_key(content["key"]), tuple(content["contact"])
            self._remember(Account(content["id"], key, contact, content["status"]))

    def _remember(self, account: Account) -> None:
        self._known[account.id] = account
        self._by_key[thumbprint(account.key)] = account.id
