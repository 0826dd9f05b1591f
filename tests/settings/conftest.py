"""
An installed dns-lexicon.
"""

from __future__ import annotations

from pathlib import Path

import pytest

#: Of the installed library.
LEXICON_FILES = [
    f"lexicon/_private/providers/{name}.py" for name in ("__init__", "cloudflare", "gandi", "oci")
]


@pytest.fixture
def lexicon(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Return the directory of an installed dns-lexicon with three providers; only its list of files matters.
    """
    place = tmp_path_factory.mktemp("site-packages")
    about = place / "dns_lexicon-3.25.2.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: dns-lexicon\nVersion: 3.25.2\n")
    (about / "RECORD").write_text("".join(f"{file},,\n" for file in [*LEXICON_FILES, "lexicon/client.py"]))
    for file in LEXICON_FILES:
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).touch()
    monkeypatch.syspath_prepend(place)
    return place
