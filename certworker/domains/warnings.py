"""
What is worth telling about an accepted name.
"""

from __future__ import annotations

import unicodedata

from certworker.domains.idna import PREFIX, is_idna_2008, to_ascii_labels, u_label
from certworker.domains.normalize import WHITESPACE
from certworker.domains.suffixes import SHARED_DOMAINS, shared_suffix

#: Scripts with letters that look like each other's.
LOOK_ALIKE_SCRIPTS = frozenset({"ARMENIAN", "CHEROKEE", "CYRILLIC", "GREEK", "LATIN"})


def warnings_for(given: str, name: str) -> list[str]:
    """
    What a person should know about *name*, which was accepted for *given*; usually nothing.
    """
    told = []
    if given != given.strip(WHITESPACE):
        told.append("spaces around the name were dropped")
    if not given.isascii() and to_ascii_labels(given) != given.lower():
        told.append("some characters were replaced by their plain forms")
    if PREFIX in name:
        told += _on_spelling(name)
    shared = shared_suffix(name)
    if shared in SHARED_DOMAINS:
        told.append(
            f"every user of {shared} shares one weekly limit of the CA; a domain of your own has its own"
        )
    elif shared:
        told.append(f"{shared} belongs to others: whether {name} points here is up to them")
    return told


def _on_spelling(name: str) -> list[str]:
    labels = name.split(".")
    told = [f"it reads {'.'.join(map(u_label, labels))}"]
    if not all(map(is_idna_2008, labels)):
        told.append("it has symbols that IDNA 2008 does not allow; some programs will not open it")
    for label in labels:
        scripts = {unicodedata.name(letter, "?").split()[0] for letter in u_label(label) if letter.isalpha()}
        mixed = sorted(script.title() for script in scripts & LOOK_ALIKE_SCRIPTS)
        if len(mixed) > 1:
            told.append(f"{label} mixes {' and '.join(mixed)} letters that look alike")
    return told
