"""
The programs of other projects, which `make bench` installs where it can.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from functools import cache

from bench.figures import Skipped

_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")


def program(name: str, install: str) -> str:
    """
    Return the path of the program in the variable *NAME*, or of the program *name* of this machine.

    Raises:
        Skipped: It is missing. The reason has *install*, which explains how to install it.
    """
    if found := shutil.which(os.environ.get(name.upper()) or name) or shutil.which(name):
        return found
    raise Skipped(f"{name} is missing. {install}")


@cache
def version(path: str, argument: str = "--version") -> str:
    """
    Return the version that the program at *path* prints, or an empty text.
    """
    printed = subprocess.run([path, argument], capture_output=True, text=True, check=False)
    found = _VERSION.search(printed.stdout + printed.stderr)
    return found[0] if found else ""


def versions() -> str:
    """
    Return the names and versions of the other clients of this machine.
    """
    arguments = {"certbot": "--version", "lego": "--version", "traefik": "version", "caddy": "version"}
    found = []
    for name, argument in arguments.items():
        with suppress(Skipped):
            found.append(f"{name} {version(program(name, ''), argument)}".rstrip())
    return " · ".join(found)
