"""
Appwrite's docker-compose.yml in both layouts, and the changes of docs/guides/replace-appwrite-worker.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.containers.project import TOP, WORKER

HERE = Path(__file__).parent

#: The additions of the tests to Appwrite's file, and to the service of the guide.
NAMES, AUTHORITY = HERE / "names.yml", HERE / "authority.yml"

#: The image of Appwrite's services, which the tests build from this directory.
IMAGE = "appwrite-under-test"


@dataclass(frozen=True)
class Layout:
    """
    A layout of Appwrite's docker-compose.yml.

    Attributes:
        worker: The service that processes the messages for certificates.
        variables: The content of its .env file.
    """

    file: Path
    worker: str
    variables: Mapping[str, str]


#: The values that Appwrite's installer writes. A target without a server is not empty.
CLASSIC = Layout(
    HERE / "classic.yml",
    WORKER,
    {
        "_APP_EMAIL_CERTIFICATES": "",
        "_APP_SYSTEM_SECURITY_EMAIL_ADDRESS": "ops@example.org",
        "_APP_DOMAIN_TARGET": "localhost",
    },
)
COMBINED = Layout(
    HERE / "combined.yml",
    "appwrite-worker",
    {
        "_APP_EMAIL_CERTIFICATES": "ops@example.org",
        "_APP_DOMAIN_TARGET_CNAME": "localhost",
        "_APP_DOMAIN_TARGET_A": "127.0.0.1",
        "_APP_DOMAIN_TARGET_AAAA": "::1",
    },
)


def block(kind: str) -> str:
    """
    Return the only block of the guide that is marked with *kind*.
    """
    text = (TOP / "docs" / "guides" / "replace-appwrite-worker.md").read_text()
    [found] = re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return str(found)


def migrated(layout: Layout) -> str:
    """
    The file of *layout* with certworker in the place of the old worker.
    """
    text = _edited(rf"^  {WORKER}:\n(?:    .*\n)+", block("yaml service"), layout.file.read_text())
    if layout is COMBINED:
        environment = rf"(?<=^  {layout.worker}:\n)(?:    .*\n)+?    environment:\n"
        text = _edited(environment, r"\g<0>" + block("yaml off"), text)
    return _edited(r"^volumes:\n(?:  .*\n)+", r"\g<0>" + block("yaml volume"), text)


def _edited(pattern: str, replacement: str, text: str) -> str:
    text, times = re.subn(pattern, replacement, text, flags=re.MULTILINE)
    assert 1 == times
    return text
