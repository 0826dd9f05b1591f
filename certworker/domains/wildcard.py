"""
Wildcard names: one certificate for all names directly below a name (RFC 9525, section 6.3).

Logs and messages contain `*.example.com`. The names of files and directories contain `_.example.com`, as with
lego, because shells expand a star. No other accepted name contains `_`.
"""

from __future__ import annotations

#: The leftmost label of a wildcard, and its form in the names of files.
STAR = "*."
STAR_IN_FILES = "_."

#: The label of the TXT records that prove control of a name (RFC 8555, section 8.4).
CHALLENGE_LABEL = "_acme-challenge."


def is_wildcard(name: str) -> bool:
    """
    Return whether the normalized *name* is a wildcard.
    """
    return name.startswith(STAR)


def base_name(name: str) -> str:
    """
    Return the wildcard *name* without `*.`, or any other *name* unchanged.
    """
    return name.removeprefix(STAR)


def covering_wildcard(name: str) -> str | None:
    """
    Return the wildcard that covers the normalized *name*, or None if none can.

    A star covers exactly one label. No wildcard covers an IP address or another wildcard.
    """
    if is_wildcard(name) or ":" in name:
        return None
    first, _, parent = name.partition(".")
    return f"{STAR}{parent}" if first and parent and not parent.rpartition(".")[2].isdigit() else None


def file_name(name: str) -> str:
    """
    Return the form of the normalized *name* in the names of files and directories.
    """
    return f"{STAR_IN_FILES}{name.removeprefix(STAR)}" if name.startswith(STAR) else name


def name_of_file(file: str) -> str:
    """
    Return the name for which :func:`file_name` returns *file*.
    """
    return f"{STAR}{file.removeprefix(STAR_IN_FILES)}" if file.startswith(STAR_IN_FILES) else file
