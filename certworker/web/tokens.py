"""
The tokens of the page and of the API, and the file with their hashes.

A created token has 256 random bits, so a fast hash (SHA-256) is enough: no guess finds the token. With a slow
hash, a flood of wrong tokens could occupy the processor. All hashes are compared in constant time.

The file is JSON or YAML::

    {"tokens": [{"hash": "sha256:…", "role": "read", "tenant": "acme", "created": "2026-11-29T12:00:00Z"}]}
"""

from __future__ import annotations

import errno
import hmac
import json
import logging
import re
import secrets
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path

import yaml

from certworker.errors import printable
from certworker.settings.web import PROXY, ROLES, Role
from certworker.storage import durable
from certworker.storage.shared_directory import WriteLock
from certworker.text_yaml import TextLoader

logger = logging.getLogger(__name__)

#: The beginning of each created token, by which secret scanners find it.
PREFIX = "cw_"
#: 256 bits.
RANDOM_BYTES = 32
#: The form of a created token: the prefix, and the random bits in base64url.
CREATED = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")
#: The number of hexadecimal digits of the hash that identify a token.
ID_DIGITS = 12

HASH = re.compile(r"sha256:([0-9a-f]{64})")
TENANT = re.compile(r"[A-Za-z0-9._-]{1,100}")

MAX_FILE_BYTES = 1_000_000
MAX_TOKENS = 5_000
#: The maximum number of invalid entries in a log line.
MAX_REASONS = 5
#: A longer string is not a token, and is not hashed.
MAX_TOKEN_LENGTH = 200


class UnusableTokens(ValueError):
    """
    The file with the tokens cannot be used. The message is a clause with the reason.
    """


@dataclass(frozen=True)
class Token:
    """
    An entry in the file: the description of a token, without the token itself.
    """

    hash: str
    role: Role
    tenant: str | None = None
    created: str = ""

    @property
    def id(self) -> str:
        """
        Return the first digits of the hash, which identify the token in logs and commands.
        """
        return self.hash[:ID_DIGITS]

    def as_json(self) -> dict[str, str]:
        """
        Return the fields of the token in the file.
        """
        fields = {"hash": f"sha256:{self.hash}", "role": self.role}
        if self.tenant:
            fields["tenant"] = self.tenant
        return fields | ({"created": self.created} if self.created else {})


class TokenFile:
    """
    The file with the hashes of the tokens, which is read again when it changes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = WriteLock(path.with_name(f"{path.name}.lock"))
        #: The state of the file, and its tokens. One assignment replaces both, because several threads read.
        self._known: tuple[object, tuple[Token, ...]] = (None, ())

    def tokens(self) -> tuple[Token, ...]:
        """
        Return the tokens; none if the file is missing or cannot be used.
        """
        return self._current()[1]

    def is_missing(self) -> bool:
        """
        Return whether the file does not exist; False if it exists and cannot be read.
        """
        return self._current()[0] == errno.ENOENT

    def find(self, token: str) -> Token | None:
        """
        Return what is known about *token*; None if it is wrong.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            return None
        digest = digest_of(token)
        found = None
        for each in self.tokens():
            if hmac.compare_digest(each.hash, digest):
                found = each
        return found

    def with_id(self, token_id: str) -> Token | None:
        """
        Return the token with *token_id*; None if there is none.
        """
        return next((each for each in self.tokens() if each.id == token_id), None)

    def create(self, role: Role, tenant: str | None, clock: Callable[[], datetime]) -> str:
        """
        Create a token, add its hash to the file, and return the token.

        Raises:
            UnusableTokens: The file cannot be read or parsed, has an invalid entry, or is full.
            CertworkerError: The file cannot be written.
        """
        token = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
        known = Token(digest_of(token), role, tenant, f"{clock():%Y-%m-%dT%H:%M:%SZ}")
        durable.make_directory(self.path.parent, 0o700)
        # Without the lock, another process could write what it read earlier, and so restore a revoked token.
        with self._lock.held():
            self._write([*_entries(_text(self.path)), known.as_json()])
        return token

    def revoke(self, token_id: str) -> bool:
        """
        Remove the token with *token_id* from the file, and return whether it was there.

        Raises:
            UnusableTokens: The file cannot be read or parsed, or has another entry that is invalid.
            CertworkerError: The file cannot be written or removed.
        """
        if not _text(self.path):
            return False
        with self._lock.held():
            before = _entries(_text(self.path))
            after = [entry for entry in before if token_id not in {each.id for each in _valid([entry])[0]}]
            if len(after) == len(before):
                return False
            if after:
                self._write(after)
            else:
                # Without the file, this machine may read without a token again.
                with durable.translate_os_errors(self.path):
                    self.path.unlink()
        return True

    def _current(self) -> tuple[object, tuple[Token, ...]]:
        known, state = self._known, _state_of(self.path)
        if state != known[0]:
            try:
                known = state, read(self.path)
            except UnusableTokens as error:
                known = state, ()
                logger.warning("no token in %s is valid: %s", self.path, error)
            self._known = known
        return known

    def _write(self, entries: Sequence[object]) -> None:
        if len(entries) > MAX_TOKENS:
            raise UnusableTokens(f"it would have more than {MAX_TOKENS:,} tokens")
        _, reasons = _valid(entries)
        if reasons:
            raise UnusableTokens(reasons[0])
        content = json.dumps({"tokens": entries}, indent=2, default=str)
        durable.write(self.path, f"{content}\n".encode(), 0o600)


def is_random(token: str) -> bool:
    """
    Return whether *token* has the form of a token from :meth:`TokenFile.create`, not that of a password.
    """
    return CREATED.fullmatch(token) is not None


def digest_of(token: str) -> str:
    """
    Return the SHA-256 hash of *token*, in hexadecimal digits.
    """
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def read(path: Path) -> tuple[Token, ...]:
    """
    Return the tokens in the file at *path*; none if it is missing. Invalid entries are left out.

    Raises:
        UnusableTokens: The file cannot be read, is not a list of tokens, or has too many.
    """
    entries = _entries(_text(path))
    if len(entries) > MAX_TOKENS:
        raise UnusableTokens(f"it has more than {MAX_TOKENS:,} tokens")
    tokens, reasons = _valid(entries)
    if reasons:
        logger.warning("invalid tokens in %s: %d; %s", path, len(reasons), "; ".join(reasons[:MAX_REASONS]))
    return tuple(tokens)


def _text(path: Path) -> str:
    """
    Return the text of the file at *path*; empty if the file is missing.
    """
    try:
        return durable.read(path, MAX_FILE_BYTES).decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise UnusableTokens(f"it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UnusableTokens("it is not UTF-8") from None


class _Loader(TextLoader):
    """
    Loads YAML without aliases. A few lines with aliases can expand to gigabytes.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """
        Return the next node.

        Raises:
            yaml.YAMLError: The node is an alias, or is invalid.
        """
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias")
        return super().compose_node(parent, index)


def _entries(text: str) -> list[object]:
    try:
        is_json = text.lstrip().startswith("{")
        content = json.loads(text) if is_json else yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except (ValueError, RecursionError, yaml.YAMLError):
        raise UnusableTokens("it is neither JSON nor YAML without aliases") from None
    entries = content.get("tokens") if isinstance(content, dict) else content
    if entries is None:
        return []
    if not isinstance(entries, list):
        raise UnusableTokens("it has no list of tokens")
    return entries


def _valid(entries: Sequence[object]) -> tuple[list[Token], list[str]]:
    """
    Return the tokens in *entries*, and the reason for each entry that is not a token.
    """
    tokens: dict[str, Token] = {}
    reasons = []
    for number, entry in enumerate(entries, 1):
        try:
            token = _token(entry, tokens.keys())
        except UnusableTokens as error:
            reasons.append(f"token {number}: {error}")
            continue
        tokens[token.hash] = token
    return list(tokens.values()), reasons


def _token(entry: object, seen: Set[str]) -> Token:
    if not isinstance(entry, dict):
        raise UnusableTokens("it is not a mapping")
    # The file may have a value of any type here.
    given = entry.get("hash")
    digest = HASH.fullmatch(given) if isinstance(given, str) else None
    if not digest:
        raise UnusableTokens("its hash is not sha256: and 64 lowercase hexadecimal digits")
    if digest[1] in seen:
        raise UnusableTokens("another token has the same hash")
    role = entry.get("role")
    if role not in ROLES:
        raise UnusableTokens(f"its role is not one of {', '.join(ROLES)}")
    tenant = entry.get("tenant")
    # A token without its tenant would see the names of all tenants.
    if "tenant" in entry and not (isinstance(tenant, str) and TENANT.fullmatch(tenant)):
        raise UnusableTokens(
            "its tenant is not a string of 1 to 100 letters, digits, dots, hyphens and underscores"
        )
    if tenant and role == PROXY:
        raise UnusableTokens("the role proxy has no tenant")
    created = entry.get("created")
    shown = printable(created, 40) if isinstance(created, str | date) else ""
    return Token(digest[1], role, tenant, shown)


def _state_of(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino
