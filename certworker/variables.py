"""
Environment variables: their values without quotes, and secrets from files.

This module uses only the standard library, because other programs import it together with the producer.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Mapping

#: The values of these variables stay unchanged, because a password may contain quotes and spaces.
VERBATIM = frozenset({"_APP_REDIS_PASS", "_APP_SMTP_PASSWORD", "HTTPREQ_PASSWORD"})
#: The values of variables with this prefix, which dns-lexicon reads, also stay unchanged.
VERBATIM_BEGINNING = "LEXICON_"

#: A variable whose name has this suffix contains the path of a file with the value.
IN_A_FILE = "_FILE"

#: The maximum size of a secret in bytes.
LARGEST_SECRET = 65_536

#: The Unicode categories of control characters, lone surrogates, and separators of lines and paragraphs.
NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def bare(name: str, value: str) -> str:
    """
    Return *value* without the spaces and quotes around it; return the value of a verbatim variable unchanged.
    """
    is_of_lexicon = name.startswith(VERBATIM_BEGINNING) and not name.endswith(IN_A_FILE)
    if name in VERBATIM or is_of_lexicon:
        return value
    return value.strip().strip("\"'").strip()


def content_of(path: str) -> str:
    """
    Return the secret in the file at *path*, without the final line feed.

    Raises:
        ValueError: There is no secret in UTF-8, or it has more than :data:`LARGEST_SECRET` bytes. The message
            omits the path, which may be a secret by mistake.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe waits until another program opens it, too.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            content = file.read(LARGEST_SECRET + 1) if regular else b""
    except OSError:
        content = b""
    # Editors add a line feed to the end of a file. It is not part of the secret.
    text = content.decode().removesuffix("\n")
    if not text or len(content) > LARGEST_SECRET:
        raise ValueError("no file with a secret")
    return text


def value_in(environ: Mapping[str, str], name: str, *, secret: bool = False) -> str:
    """
    Return the value of the variable *name*, or the secret in its file; an empty string if neither is set.

    Args:
        secret: Whether the variable with the suffix `_FILE` may name a file with the value.

    Raises:
        ValueError: The value is not UTF-8, a secret is set twice, or its file has no secret. The message
            does not contain the value.
    """
    value = bare(name, environ.get(name, ""))
    if secret and (path := bare(f"{name}{IN_A_FILE}", environ.get(f"{name}{IN_A_FILE}", ""))):
        if value:
            raise ValueError(f"{name} and {name}{IN_A_FILE} are both set")
        try:
            value = bare(name, content_of(path))
        except ValueError:
            raise ValueError(f"{name}{IN_A_FILE} names no file with a secret in UTF-8") from None
    if not is_utf8(value):
        raise ValueError(f"{name} is not UTF-8")
    return value


def is_utf8(value: str) -> bool:
    """
    Return whether *value* was valid UTF-8. Python replaces invalid bytes with lone surrogates.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_line(text: str) -> bool:
    """
    Return whether *text* is one line, without control characters or lone surrogates.
    """
    return NOT_IN_A_LINE.isdisjoint(map(unicodedata.category, text))
