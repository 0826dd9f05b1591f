"""
What a Docker engine changes in a machine's network and leaves so when it ends.

It never takes back its bridge, its rules and the forwarding that it switched on; a machine that only ran
the tests shall be as it was. Where an engine is installed all that belongs to it, and is left alone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.containers.packages import PATH, run

INTERFACES = Path("/sys/class/net")
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")

BRIDGE = re.compile(r"docker0|br-[0-9a-f]{12}")
RULE = re.compile(rf"\bDOCKER\b|\b({BRIDGE.pattern})\b")


@contextmanager
def removed_traces() -> Iterator[None]:
    """
    Run an engine within; what earlier ones have left, if they were killed, is removed, too.
    """
    if shutil.which("dockerd", path=PATH):
        yield
        return
    _remove()
    forwarding = FORWARDING.read_text()
    try:
        yield
    finally:
        _remove()
        if forwarding != FORWARDING.read_text():
            # An engine that switches forwarding on closes it for all but containers.
            run("iptables", "--policy", "FORWARD", "ACCEPT")
            FORWARDING.write_text(forwarding)


def _remove() -> None:
    rules = run("iptables-save", "--counters").splitlines(keepends=True)
    others = "".join(rule for rule in rules if not RULE.search(rule))
    run("iptables-restore", "--counters", stdin=others)
    for interface in INTERFACES.iterdir():
        if BRIDGE.fullmatch(interface.name):
            run("ip", "link", "delete", interface.name)
