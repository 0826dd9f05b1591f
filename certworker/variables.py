"""
Variables of the environment: their values without quotes, and secrets in files.

Only the standard library is needed: other programs import this together with the queue.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Mapping

#: Their values are unchanged: quotes and spaces may be a part of a password.
VERBATIM = frozenset({"_APP_REDIS_PASS", "_APP_SMTP_PASSWORD", "HTTPREQ_PASSWORD"})
#: So are those that begin with this. dns-lexicon reads them.
VERBATIM_BEGINNING = "LEXICON_"

#: A variable with this behind its name has the path of a file with the value.
IN_A_FILE = "_FILE"

#: Bytes. No secret is longer.
LARGEST_SECRET = 65_536

#: Control characters, lone surrogates, and the separators of lines and paragraphs.
NOT_IN_A_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def bare(name: str, value: str) -> str:
    """
    Return *value* without the spaces and quotes around it; that of a password is unchanged.
    """
    is_of_lexicon = name.startswith(VERBATIM_BEGINNING) and not name.endswith(IN_A_FILE)
    if name in VERBATIM or is_of_lexicon:
        return value
    return value.strip().strip("\"'").strip()


def content_of(path: str) -> str:
    """
    Return the secret in the file at *path*, without the end of its last line.

    Raises:
        ValueError: There is none; the message does not have the path, which may be a secret by mistake.
    """
    try:
        # Without O_NONBLOCK the call waits until another program opens a named pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            content = file.read(LARGEST_SECRET + 1) if regular else b""
    except OSError:
        content = b""
    # An editor ends the last line of a file; a password does not end so.
    text = content.decode().removesuffix("\n")
    if not text or len(content) > LARGEST_SECRET:
        raise ValueError("no file with a secret")
    return text


def value_in(environ: Mapping[str, str], name: str, *, secret: bool = False) -> str:
    """
    Return the value of the variable *name*; empty means that it is not set.

    Args:
        secret: It may be in a file.

    Raises:
        ValueError: It is no text, or a secret is set twice, or is in no file; the message has no value.
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
    Return whether *value* is a text: one of other bytes has lone surrogates in their place.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_line(text: str) -> bool:
    """
    Return whether *text* has no line feed and no other control character.
    """
    return NOT_IN_A_LINE.isdisjoint(map(unicodedata.category, text))
