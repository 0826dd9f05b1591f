"""
The process that changes one record with dns-lexicon::

    python -m certworker.dns01.lexicon_child create|delete PROVIDER ZONE FQDN VALUE

Its environment contains the credentials of the provider. Its output is one JSON object. From a response, the
object contains only the status and the Retry-After header, because other text may contain secrets. The output
of dns-lexicon and its providers is discarded.

A provider may have no timeout, and may fail in any way. :mod:`certworker.dns01.lexicon` ends the process in
time.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from certworker.dns01.provider import DEADLINE_SECONDS, TTL_SECONDS

#: The results. All of them except the first one are failures.
DONE = "done"
CREDENTIALS = "credentials"
FORBIDDEN = "forbidden"
NO_ZONE = "no_zone"
RATE_LIMITED = "rate_limited"
UNAVAILABLE = "unavailable"
FAILED = "failed"

#: dns-lexicon raises the same exception for wrong credentials and for a missing zone. Only the text differs.
_ABOUT_THE_ZONE = re.compile(r"\b(domain|zone|folder)s?\b|\bnot managed\b", re.IGNORECASE)

#: The memory limit in bytes: the response of an API may be endless.
MAX_MEMORY = 512 << 20

#: The longest Retry-After header, in characters.
MAX_HEADER = 60


def main(arguments: list[str]) -> None:
    """
    Change the record, and write the result.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
    # The worker, which enforces the deadline, may be killed in the meantime.
    signal.setitimer(signal.ITIMER_REAL, DEADLINE_SECONDS)
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as result:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        json.dump(change(*arguments), result)


def change(action: str, provider: str, zone: str, fqdn: str, value: str) -> dict[str, str]:
    """
    Create or delete the TXT record, and return the result.

    Args:
        action: `create` or `delete`.
    """
    authenticated = False
    try:
        with _client(provider, zone) as operations:
            authenticated = True
            if action == "create":
                done = operations.create_record("TXT", fqdn, value)
            else:
                done = operations.delete_record(None, "TXT", fqdn, value)
    except BaseException as error:  # some providers call sys.exit
        return failure_of(error, authenticated=authenticated)
    if done is False:
        return {"result": FAILED, "reason": "dns-lexicon reported a failure without a reason"}
    return {"result": DONE}


def failure_of(error: BaseException, *, authenticated: bool) -> dict[str, str]:
    """
    Return the result for *error*: its kind, its class, and the status and Retry-After of the HTTP response.

    Args:
        authenticated: Whether the provider had accepted the credentials before the error.
    """
    chain = list(_chain(error))
    names = {type(each).__name__ for each in chain}
    status, headers = next(filter(None, map(_answer, chain)), (0, {}))
    reason = f"{type(error).__name__}, HTTP {status}" if status else type(error).__name__
    result = FAILED
    if status == 401 or (status in (400, 403) and not authenticated):
        result = CREDENTIALS
    elif status == 403:
        result = FORBIDDEN
    elif status in (404, 422) and not authenticated:
        result = NO_ZONE
    elif status == 429:
        result = RATE_LIMITED
    elif "ProviderNotAvailableError" in names or isinstance(error, ImportError):
        result = UNAVAILABLE
    elif "AuthenticationError" in names:
        result = NO_ZONE if _ABOUT_THE_ZONE.search(str(error)) else CREDENTIALS
    return {
        "result": result,
        "reason": reason,
        "retry_after": str(headers.get("Retry-After", ""))[:MAX_HEADER],
    }


def _client(provider: str, zone: str) -> Any:
    import dns.name
    import dns.resolver
    import tldextract
    from lexicon.client import Client
    from lexicon.config import ConfigResolver

    # The zone is known, so these functions return it. The original ones would query the resolver of this
    # machine, and download the public suffix list.
    name, _, suffix = zone.partition(".")
    vars(dns.resolver)["zone_for_name"] = lambda *_, **__: dns.name.from_text(zone)
    vars(tldextract)["extract"] = lambda *_, **__: SimpleNamespace(domain=name, suffix=suffix)
    # Some providers accept only a longer TTL.
    ttl = int(os.environ.get(f"LEXICON_{provider.upper()}_TTL") or TTL_SECONDS)
    options = {"provider_name": provider, "domain": zone, "resolve_zone_name": True, "ttl": ttl}
    return Client(ConfigResolver().with_dict(options).with_env())


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _answer(error: BaseException) -> tuple[int, Mapping[str, str]] | None:
    # The exceptions of the library `requests` have this attribute.
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    return (status, response.headers) if response is not None and isinstance(status, int) else None


if __name__ == "__main__":
    main(sys.argv[1:])
