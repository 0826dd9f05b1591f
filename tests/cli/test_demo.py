"""
The demo, as a newcomer runs it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_demo_shows_a_padlock_and_its_renewal(tmp_path: Path) -> None:
    """
    One command, exit code 0, and nothing left running.
    """
    ended = subprocess.run(
        [sys.executable, "-m", "certworker", "demo"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert "demo.localhost: DONE" in ended.stdout
    assert "renewed by itself" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr
