"""
The changes of a Docker engine in the network of the machine, which remain after its end.

An engine does not remove its bridge and its rules, and does not disable forwarding. The tests restore the
network, unless an engine is installed, to which these settings belong.
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

BRIDGE = re.compile(r"docker0|docker_gwbridge|br-[0-9a-f]{12}")
RULE = re.compile(rf"\bDOCKER\b|\b({BRIDGE.pattern})\b")


@contextmanager
def removed_traces() -> Iterator[None]:
    """
    Remove the changes of an engine that runs in the context, and those of killed engines before it.
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
            # An engine that enables forwarding allows it only for containers.
            run("iptables", "--policy", "FORWARD", "ACCEPT")
            FORWARDING.write_text(forwarding)


def _remove() -> None:
    rules = run("iptables-save", "--counters").splitlines(keepends=True)
    others = "".join(rule for rule in rules if not RULE.search(rule))
    run("iptables-restore", "--counters", stdin=others)
    for interface in INTERFACES.iterdir():
        if BRIDGE.fullmatch(interface.name):
            run("ip", "link", "delete", interface.name)
