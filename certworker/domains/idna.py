"""
Internationalized names: UTS #46, IDNA 2008 and Punycode.

The package `idna` has large tables, so this module imports it only when a name needs them.
"""

from __future__ import annotations

import unicodedata

from certworker.errors.name import BadIdn, InvalidCharacter, NameTooLong

#: The maximum number of characters of a label (RFC 1035, section 2.3.4).
LONGEST_LABEL = 63

#: The prefix of an A-label (RFC 5890, section 2.3.2.1).
PREFIX = "xn--"

#: Some scripts need these characters between letters (RFC 5892, appendix A).
JOINERS = "\u200c\u200d"


def to_ascii_labels(given: str) -> str:
    """
    Return *given* in lower case, with full-width letters, ligatures and similar characters mapped (UTS #46).

    The mapping can produce dots, slashes and digits, so all other checks follow it. This function first
    rejects characters that the mapping would silently drop, because a name must not contain hidden ones.

    Raises:
        InvalidCharacter: A character is invisible.
        BadIdn: A character is not allowed in names.
    """
    if given.isascii():
        return given.lower()
    import idna

    for character in given:
        if _is_invisible(character):
            reason = f"it contains the invisible character U+{ord(character):04X}"
            raise InvalidCharacter(name=given, reason=reason)
    try:
        return idna.uts46_remap(given, std3_rules=False, transitional=False)
    except idna.IDNAError as error:
        raise BadIdn(name=given, reason=error, suggestion="its registrar writes it") from None


def a_label(given: str, label: str) -> str:
    """
    Return *label* of the name *given* in its DNS form (RFC 5890, section 2.3.2.1).

    Raises:
        NameTooLong: The result has more than 63 characters.
        BadIdn: The label is not a valid internationalized label, or has a reserved form.
    """
    written = label if label.isascii() else PREFIX + _punycode(label)
    if len(written) > LONGEST_LABEL:
        raise NameTooLong(name=given, what="a part of it", length=len(written), limit=LONGEST_LABEL)
    if label is not written:
        _refuse_unregistrable(given, label, written)
    elif label.startswith(PREFIX):
        _refuse_malformed(given, label)
    elif label[2:4] == "--":
        # R-LDH labels are reserved (RFC 5890, section 2.3.1), and Boulder rejects them.
        allowed = given.replace(label, label.replace("--", "-", 1))
        raise BadIdn(name=given, reason=f"{label} has a reserved form (??--)", suggestion=allowed)
    return written


def u_label(label: str) -> str:
    """
    Return *label* of an accepted name in its readable form.
    """
    return _read_punycode(label) if label.startswith(PREFIX) else label


def is_idna_2008(label: str) -> bool:
    """
    Return whether *label* of an accepted name complies with IDNA 2008. All programs accept such a label.
    """
    import idna

    try:
        idna.ulabel(label)
    except idna.IDNAError:
        return False
    return True


def _is_invisible(character: str) -> bool:
    """
    Return whether *character* is invisible: a format character, or one that the mapping drops.
    """
    import idna

    if character.isascii() or character in JOINERS:
        return False
    if unicodedata.category(character) == "Cf":
        return True
    try:
        return not idna.uts46_remap(character, std3_rules=False, transitional=False)
    except idna.IDNAError:
        return False


def _refuse_unregistrable(given: str, label: str, written: str) -> None:
    import idna

    try:
        idna.alabel(label)
    except idna.InvalidCodepoint as error:
        # Emoji domains are older than IDNA 2008, and exist in their ASCII form.
        raise BadIdn(
            name=given, reason=error, suggestion=to_ascii_labels(given).replace(label, written)
        ) from None
    except idna.IDNAError as error:
        raise BadIdn(name=given, reason=error, suggestion="its registrar writes it") from None


def _refuse_malformed(given: str, label: str) -> None:
    """
    Raise BadIdn unless *label* is the Punycode of a non-ASCII NFC string of visible characters and joiners.

    Boulder requires NFC, too, but not IDNA 2008, because old domains contain emoji.
    """
    try:
        text = _read_punycode(label)
    except UnicodeError:
        text = ""
    if (
        text.isascii()
        or unicodedata.normalize("NFC", text) != text
        or PREFIX + _punycode(text) != label
        or any(unicodedata.category(each)[0] == "C" and each not in JOINERS for each in text)
    ):
        raise BadIdn(
            name=given, reason=f"{label} is not valid Punycode", suggestion="its registrar writes it"
        )


def _punycode(text: str) -> str:
    return text.encode("punycode").decode("ascii")


def _read_punycode(label: str) -> str:
    return label.removeprefix(PREFIX).encode("ascii").decode("punycode")
