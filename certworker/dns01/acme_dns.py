"""
acme-dns: a small name server with an HTTP API, to which a CNAME of `_acme-challenge` leads.

The account file has the format of lego: one account for each name. acme-dns stores the last two values of an
account, and has no request to delete a value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from certworker.dns01.http_api import ApiResponse, HttpApi
from certworker.dns01.provider import DEADLINE_SECONDS, TxtRecord
from certworker.dns01.refusals import Refusals
from certworker.errors import CertworkerError
from certworker.errors.dns01 import AccountMissing, AccountRejected, AccountsUnreadable, RegistrationRefused
from certworker.storage import durable
from certworker.validity import now_in_utc

#: The name of the provider in messages and logs.
LABEL = "acme-dns"

#: The setting with the path of the account file.
VARIABLE = "ACME_DNS_STORAGE_PATH"

#: The largest account file in bytes, as in the check of the settings. An account takes about 300 bytes.
MAX_FILE = 4 << 20

#: Only the user of certworker may read the passwords.
MODE = 0o600

#: A valid `fulldomain` or `subdomain` of an account: a DNS name, or a label.
NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,30}")
#: A valid username or password. Each is the value of a header.
CREDENTIAL = re.compile(r"[!-~]{1,200}")


@dataclass(frozen=True)
class Account:
    """
    An account at an acme-dns server. It can change the TXT records of one name.
    """

    #: The target of the CNAME.
    fulldomain: str
    subdomain: str
    username: str
    password: str = field(repr=False)

    @classmethod
    def read(cls, content: Any) -> Account | None:
        """
        Return the account in the JSON object *content*; None if it is invalid.
        """
        if not isinstance(content, dict):
            return None
        texts = {each.name: str(content.get(each.name, "")) for each in fields(cls)}
        account = cls(**texts | {"fulldomain": texts["fulldomain"].lower().removesuffix(".")})
        names, credentials = (account.fulldomain, account.subdomain), (account.username, account.password)
        valid = all(NAME.fullmatch(each) for each in names) and all(map(CREDENTIAL.fullmatch, credentials))
        return account if valid else None


@dataclass(frozen=True)
class AcmeDns:
    """
    An acme-dns server, and the accounts of certworker there.
    """

    #: The URL of the API.
    api_base: str
    #: The account file.
    accounts: Path
    #: A PEM file with roots to trust in addition to those of the system.
    ca_bundle: Path | None = None
    #: The time limit of one request, including its response.
    deadline_seconds: float = DEADLINE_SECONDS
    clock: Callable[[], datetime] = now_in_utc
    label: str = field(default=LABEL, init=False)

    def present(self, record: TxtRecord) -> None:
        """
        Add the value. The server also stores the previous one: a name and its wildcard can share an account.
        """
        name, account = self._account(record)
        headers = {"X-Api-User": account.username, "X-Api-Key": account.password}
        try:
            answer = self._api.post("update", {"subdomain": account.subdomain, "txt": record.value}, headers)
        except OSError as error:
            raise self._refusals.failed(record, error.strerror or error) from None
        if not answer.is_success:
            raise self._update_failure(name, record, answer)
        content = answer.json()
        if not isinstance(content, dict) or content.get("txt") != record.value:
            raise self._refusals.failed(record, "its response does not confirm the value")

    def withdraw(self, record: TxtRecord) -> None:
        """
        Do nothing: acme-dns cannot delete a value. Later values replace it.
        """

    def register(self, name: str) -> str:
        """
        Return the target of the CNAME to create at `_acme-challenge` of *name*.

        Use the account of *name* in the account file. Without a valid one, register an account, and store it
        there.

        Raises:
            CertworkerError: The server does not register an account, or the file cannot be read or written.
        """
        stored = self._stored() if self.accounts.exists() else {}
        if account := Account.read(stored.get(name)):
            return account.fulldomain
        try:
            answer = self._api.post("register", {}, {})
        except OSError as error:
            raise self._not_registered(name, error.strerror or error) from None
        if not answer.is_success:
            raise self._not_registered(name, f"HTTP {answer.status}")
        account = Account.read(answer.json())
        if account is None:
            raise self._not_registered(name, "its response does not contain a valid account")
        content = json.dumps({**stored, name: asdict(account)}, indent=2)
        durable.write(self.accounts, f"{content}\n".encode(), MODE)
        return account.fulldomain

    @property
    def _api(self) -> HttpApi:
        return HttpApi(self.api_base, self.ca_bundle, self.deadline_seconds)

    @property
    def _refusals(self) -> Refusals:
        return Refusals(self._shown, VARIABLE)

    @property
    def _shown(self) -> str:
        return f"{self.label} ({self._api.place})"

    def _update_failure(self, name: str, record: TxtRecord, answer: ApiResponse) -> CertworkerError:
        reason = f"HTTP {answer.status}"
        if answer.status in (401, 403):
            return AccountRejected(provider=self._shown, name=name, path=self.accounts, reason=reason)
        if answer.status == 404:
            # An account has no zone to create. Another server may be at this URL.
            return self._refusals.failed(record, reason)
        return self._refusals.of_status(answer.status, answer.headers, record, self.clock())

    def _not_registered(self, name: str, reason: object) -> CertworkerError:
        return RegistrationRefused(provider=self._shown, name=name, reason=reason)

    def _account(self, record: TxtRecord) -> tuple[str, Account]:
        """
        Return the account whose target is the owner of *record*, and the name that it was registered for.
        """
        for name, content in self._stored().items():
            account = Account.read(content)
            if account and account.fulldomain == record.fqdn:
                return name, account
        raise AccountMissing(path=self.accounts, fqdn=record.fqdn)

    def _stored(self) -> dict[str, Any]:
        """
        Return the content of the account file. Its members are not checked.
        """
        try:
            content = json.loads(durable.read(self.accounts, MAX_FILE))
        except OSError as error:
            raise AccountsUnreadable(path=self.accounts, reason=error.strerror or error) from None
        except (ValueError, RecursionError):
            raise AccountsUnreadable(path=self.accounts, reason="it is not JSON") from None
        if not isinstance(content, dict):
            raise AccountsUnreadable(path=self.accounts, reason="it is not a JSON object")
        return content
