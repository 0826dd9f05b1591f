"""
Warnings about an accepted name.
"""

from __future__ import annotations

import unicodedata

from certworker.domains.idna import PREFIX, is_idna_2008, to_ascii_labels, u_label
from certworker.domains.normalize import WHITESPACE
from certworker.domains.suffixes import SHARED_DOMAINS, shared_suffix

#: Scripts with letters that resemble each other.
LOOK_ALIKE_SCRIPTS = frozenset({"ARMENIAN", "CHEROKEE", "CYRILLIC", "GREEK", "LATIN"})


def warnings_for(given: str, name: str) -> list[str]:
    """
    Return the warnings about *name*, which was accepted for *given*; none for most names.
    """
    found = []
    if given != given.strip(WHITESPACE):
        found.append("spaces around the name were removed")
    if not given.isascii() and to_ascii_labels(given) != given.lower():
        found.append("some characters were replaced by their plain forms")
    if PREFIX in name:
        found += _spelling_warnings(name)
    shared = shared_suffix(name)
    if shared in SHARED_DOMAINS:
        found.append(
            f"all users of {shared} share one weekly limit of the CA; a domain of your own has its own limit"
        )
    elif shared:
        found.append(f"{shared} belongs to others, who decide where {name} points")
    return found


def _spelling_warnings(name: str) -> list[str]:
    labels = name.split(".")
    found = [f"it reads {'.'.join(map(u_label, labels))}"]
    if not all(map(is_idna_2008, labels)):
        found.append("it has symbols that IDNA 2008 does not allow; some programs do not accept it")
    for label in labels:
        scripts = {unicodedata.name(letter, "?").split()[0] for letter in u_label(label) if letter.isalpha()}
        mixed = sorted(script.title() for script in scripts & LOOK_ALIKE_SCRIPTS)
        if len(mixed) > 1:
            found.append(f"{label} mixes {' and '.join(mixed)} letters that resemble each other")
    return found
