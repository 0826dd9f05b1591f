"""
Wildcard names: one certificate for all names directly below a name (RFC 9525, section 6.3).

People and programs read `*.example.com`. A file or a directory of it is called `_.example.com`, as with lego:
shells expand a star, and no other name that is accepted contains `_`.
"""

from __future__ import annotations

#: The leftmost label of a wildcard, and its form in the names of files.
STAR = "*."
STAR_IN_FILES = "_."

#: The owner of the DNS records that prove a name (RFC 8555, section 8.4).
CHALLENGE_LABEL = "_acme-challenge."


def is_wildcard(name: str) -> bool:
    """
    Return whether the normalized *name* is a wildcard.
    """
    return name.startswith(STAR)


def base_name(name: str) -> str:
    """
    Return the name below which the wildcard *name* covers names; any other *name* itself.
    """
    return name.removeprefix(STAR)


def covering_wildcard(name: str) -> str | None:
    """
    Return the wildcard that covers the normalized *name*; None: there is none.

    A wildcard covers exactly one label, and no IP address. Only itself covers a wildcard.
    """
    if is_wildcard(name) or ":" in name:
        return None
    first, _, parent = name.partition(".")
    return f"{STAR}{parent}" if first and parent and not parent.rpartition(".")[2].isdigit() else None


def file_name(name: str) -> str:
    """
    Return how the normalized *name* is written in the name of a file or of a directory.
    """
    return f"{STAR_IN_FILES}{name.removeprefix(STAR)}" if is_wildcard(name) else name


def name_of_file(file: str) -> str:
    """
    Return the name for which :func:`file_name` returns *file*.
    """
    return f"{STAR}{file.removeprefix(STAR_IN_FILES)}" if file.startswith(STAR_IN_FILES) else file
