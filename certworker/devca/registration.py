"""
Accounts: registration, change, key change (RFC 8555, section 7.3).
"""

from __future__ import annotations

import json
from typing import Any

from josepy.errors import Error as JoseError
from josepy.jwa import HS256
from josepy.jwk import JWK, JWKOct

from certworker.devca.accounts import Account, Accounts, read_key, thumbprint
from certworker.devca.messages import Call, Refused, Reply, document
from certworker.devca.policy import Policy
from certworker.devca.protocol import check_signature, parse, payload


class Registration:
    """
    The resources of accounts.
    """

    def __init__(self, accounts: Accounts, policy: Policy) -> None:
        self._accounts = accounts
        self._policy = policy

    def register(self, call: Call) -> Reply:
        """
        Return the account of the key that signed the request; create it if it does not exist (newAccount).
        """
        assert call.key is not None  # noqa: S101 (the route requires it)
        account = self._accounts.with_key(call.key)
        if account is not None:
            if account.status != "valid":
                raise Refused("unauthorized", "The account is deactivated.", status=401)
            return self._shown(call, account)
        if call.fields.get("onlyReturnExisting"):
            raise Refused("accountDoesNotExist", "There is no account with this key.")
        if call.fields.get("termsOfServiceAgreed") is not True:
            raise Refused("userActionRequired", "The terms of service must be agreed to.")
        contact = _contact(call.fields)
        if self._policy.external_accounts:
            self._check_binding(call, call.key)
        return self._shown(call, self._accounts.add(call.key, contact), status=201)

    def account(self, call: Call) -> Reply:
        """
        Return an account, change its contact, or deactivate it.
        """
        account = self._own(call)
        changes: dict[str, Any] = {}
        if call.payload and "contact" in call.payload:
            changes["contact"] = _contact(call.payload)
        if call.payload and call.payload.get("status") == "deactivated":
            changes["status"] = "deactivated"
        return self._shown(call, self._accounts.change(account, **changes) if changes else account)

    def change_key(self, call: Call) -> Reply:
        """
        Replace the key of an account (keyChange; RFC 8555, section 7.3.5).
        """
        account = call.owner
        jws, header = parse(json.dumps(call.fields))
        if header.jwk is None or header.url != call.request.url:
            raise Refused("malformed", "The inner message needs jwk and the url of the outer one.")
        check_signature(jws, header, header.jwk)
        inner = payload(jws) or {}
        # The CA compares only the path, because its port may change at each start.
        names_account = str(inner.get("account")).endswith(f"/account/{account.id}")
        if not names_account or _thumbprint_in(inner.get("oldKey")) != thumbprint(account.key):
            raise Refused("malformed", "The inner message does not name this account and its key.")
        holder = self._accounts.with_key(header.jwk)
        if holder is not None:
            location = {"Location": call.url("account", holder.id)}
            raise Refused("conflict", "The new key belongs to an account.", status=409, headers=location)
        return self._shown(call, self._accounts.change(account, key=header.jwk))

    def _own(self, call: Call) -> Account:
        if call.owner.id != call.request.id:
            raise Refused("unauthorized", "This is another account.")
        return call.owner

    def _shown(self, call: Call, account: Account, *, status: int = 200) -> Reply:
        location = {"Location": call.url("account", account.id)}
        return document(account.as_json(), status=status, headers=location)

    def _check_binding(self, call: Call, key: JWK) -> None:
        binding = call.fields.get("externalAccountBinding")
        if not isinstance(binding, dict):
            raise Refused("externalAccountRequired", "An external account binding is required.")
        jws, header = parse(json.dumps(binding))
        secret = self._policy.external_accounts.get(str(header.kid))
        if secret is None or header.alg != HS256 or header.url != call.request.url:
            raise Refused("unauthorized", "The external account binding is unknown or not for this URL.")
        if not jws.verify(JWKOct(key=secret)) or _thumbprint_in(payload(jws)) != thumbprint(key):
            raise Refused("unauthorized", "The external account binding is not valid.")


def _contact(fields: dict[str, Any]) -> tuple[str, ...]:
    contact = fields.get("contact", [])
    if not isinstance(contact, list) or not all(isinstance(url, str) for url in contact):
        raise Refused("malformed", "The contact must be a list of URLs.")
    for url in contact:
        if not url.startswith("mailto:"):
            raise Refused("unsupportedContact", "Only mailto: contacts are supported.")
        if not all(url.removeprefix("mailto:").partition("@")) or url.count("@") != 1:
            raise Refused("invalidContact", "The contact is not an e-mail address.")
    return tuple(contact)


def _thumbprint_in(content: Any) -> str:
    try:
        return thumbprint(read_key(content))
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused("malformed", "This is not a key.") from error
