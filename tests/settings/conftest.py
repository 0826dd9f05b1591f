"""
A fixture with an installed dns-lexicon.
"""

from __future__ import annotations

from pathlib import Path

import pytest

#: The modules of the providers in the installed library.
LEXICON_FILES = [
    f"lexicon/_private/providers/{name}.py" for name in ("__init__", "cloudflare", "gandi", "oci")
]


@pytest.fixture
def lexicon(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Return the directory of an installed dns-lexicon with three providers, whose modules are empty files.
    """
    site_packages = tmp_path_factory.mktemp("site-packages")
    metadata = site_packages / "dns_lexicon-3.25.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: dns-lexicon\nVersion: 3.25.2\n")
    (metadata / "RECORD").write_text("".join(f"{file},,\n" for file in [*LEXICON_FILES, "lexicon/client.py"]))
    for file in LEXICON_FILES:
        (site_packages / file).parent.mkdir(parents=True, exist_ok=True)
        (site_packages / file).touch()
    monkeypatch.syspath_prepend(site_packages)
    return site_packages
