"""
The providers of dns-lexicon. Each change runs in its own short-lived process.

Most providers have no timeout, and all are third-party code that gets credentials. Each process has a
deadline and limited memory. Its only secrets are the credentials of its provider, and a password in a proxy
variable. The output of the provider is discarded.

`LEXICON_NAME_TTL` sets a TTL other than 60 s, for providers that require a longer one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from certworker.dns01 import lexicon_child
from certworker.dns01.child_process import ChildFailed, environment, read
from certworker.dns01.provider import DEADLINE_SECONDS, TxtRecord
from certworker.dns01.refusals import Refusals
from certworker.errors.dns01 import ExtraMissing
from certworker.validity import now_in_utc

#: The largest result in bytes.
MAX_RESULT = 4_096


@dataclass(frozen=True)
class Lexicon:
    """
    One provider of dns-lexicon.
    """

    #: The name of the provider in dns-lexicon, for example cloudflare.
    name: str
    #: Its credentials and options, by the names of their variables.
    variables: Mapping[str, str] = field(repr=False)
    #: The time limit of one change.
    deadline_seconds: float = DEADLINE_SECONDS
    clock: Callable[[], datetime] = now_in_utc

    @property
    def label(self) -> str:
        """
        Return the name of the provider in messages and logs.
        """
        return f"lexicon:{self.name}"

    def present(self, record: TxtRecord) -> None:
        """
        Create the record, unless it exists.
        """
        self._change("create", record)

    def withdraw(self, record: TxtRecord) -> None:
        """
        Delete the record with this value.
        """
        self._change("delete", record)

    def _change(self, action: str, record: TxtRecord) -> None:
        result = self._run(action, record)
        kind = result.get("result")
        if kind == lexicon_child.DONE:
            return
        refusals, reason = self._refusals, str(result.get("reason", "no result"))
        if kind == lexicon_child.CREDENTIALS:
            raise refusals.credentials(reason)
        if kind == lexicon_child.FORBIDDEN:
            raise refusals.forbidden(record, reason)
        if kind == lexicon_child.NO_ZONE:
            raise refusals.no_zone(record, reason)
        if kind == lexicon_child.RATE_LIMITED:
            raise refusals.rate_limited({"Retry-After": str(result.get("retry_after", ""))}, self.clock())
        if kind == lexicon_child.UNAVAILABLE:
            raise ExtraMissing(provider=self.label, name=self.name, reason=reason)
        raise refusals.failed(record, reason)

    def _run(self, action: str, record: TxtRecord) -> Mapping[str, Any]:
        # With -P, Python does not search the working directory for modules.
        command = [sys.executable, "-P", "-m", lexicon_child.__name__, action]
        command += [self.name, record.zone, record.fqdn, record.value]
        variables = dict(self.variables)
        if path := os.environ.get("PYTHONPATH"):
            variables["PYTHONPATH"] = path
        try:
            output = read(command, environment(variables), self.deadline_seconds, MAX_RESULT)
        except ChildFailed as failed:
            raise self._refusals.failed(record, failed) from None
        try:
            result = json.loads(output)
        except (ValueError, RecursionError):
            result = None
        return result if isinstance(result, dict) else {}

    @property
    def _refusals(self) -> Refusals:
        return Refusals(self.label, f"LEXICON_{self.name.upper()}_*")
