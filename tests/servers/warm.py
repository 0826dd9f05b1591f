"""
The modules of the commands and of the page, and the roots of the system, for :mod:`tests.servers.forked`.
"""

from __future__ import annotations

from importlib import import_module

from certworker.acme.http_pool import public_context
from certworker.cli import COMMANDS, PLACES

for command in COMMANDS:
    import_module(f"certworker.cli.{PLACES.get(command, (command, ''))[0]}")
import_module("certworker.web.composition")
public_context()
