"""
The parts of README.md that are made from the code: `make readme` writes them, a test compares them.
"""

from __future__ import annotations

import re
from pathlib import Path

from certworker.errors import catalogue
from tests.theatre.scenes import all_scenes

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"

RETRIES = {
    "never": "never: the same request gets the same answer",
    "config": "daily, and when the configuration changes",
    "preflight": "after 1, 5, 10, 30 minutes, then hourly, then daily",
    "ca": "after 1, 10, 100 minutes, then daily",
    "until": "when the CA allows it",
    "soon": "after 10 and 30 seconds, 1 and 5 minutes, then as for the CA",
}


def failures() -> str:
    """
    One row for each code of the catalogue, in the words of the log; ✓ where a scene proves it.
    """
    proven = {scene.code for scene in all_scenes()}
    rows = ["| code | what it says | what to do | tried again | proven |", "|---|---|---|---|---|"]
    for kind in catalogue():
        said, cure = (_cell(text) for text in (kind.says, kind.cure))
        mark = "✓" if kind.code in proven else ""
        rows.append(f"| `{kind.code}` | {said} | {cure} | {RETRIES[kind.retry.value]} | {mark} |")
    return "\n".join(rows)


def settings() -> str:
    """
    One row for each variable of `.env.example`, in its words.
    """
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    sentence: list[str] = []
    for line in (ROOT / ".env.example").read_text().splitlines():
        if variable := re.fullmatch(r"#? ?(\w+)=(.*)", line):
            default = f"`{variable[2]}`" if line.startswith("#") and variable[2] else "–"
            rows.append(f"| `{variable[1]}` | {default} | {_cell(' '.join(sentence)) or '″'} |")
            sentence = []
        elif line.startswith("# "):
            sentence.append(line.removeprefix("# "))
        else:
            sentence = []
    return "\n".join(rows)


def renewed(text: str) -> str:
    """
    *text*, the README, with those parts made anew.
    """
    for part, made in (("settings", settings()), ("failures", failures())):
        opening = f"<!-- {part}: made by `make readme` -->\n"
        before, _, rest = text.partition(opening)
        text = f"{before}{opening}{made}\n{rest[rest.index('<!-- end -->') :]}"
    return text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("{", "‹").replace("}", "›").replace("<", "&lt;")


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
