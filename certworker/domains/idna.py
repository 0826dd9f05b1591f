"""
International spellings: UTS #46, IDNA 2008 and punycode.

The library has large tables, so it is imported by the first name that needs them.
"""

from __future__ import annotations

import unicodedata

from certworker.errors.name import BadIdn, InvalidCharacter, NameTooLong

#: RFC 1035, section 2.3.4.
LONGEST_LABEL = 63

#: Marks an A-label (RFC 5890, section 2.3.2.1).
PREFIX = "xn--"

#: Needed between letters of some scripts; IDNA 2008 says where (RFC 5892, appendix A).
JOINERS = "\u200c\u200d"


def to_ascii_labels(given: str) -> str:
    """
    *given* in lower case, full-width letters, ligatures and the like replaced (UTS #46, non-transitional).

    The mapping makes dots, slashes and digits, too, so every other check comes after it. Characters
    that it would drop without a word are refused before: a name must not hide anything.

    Raises:
        InvalidCharacter: A character cannot be seen.
        BadIdn: A character can never stand in a name.
    """
    if given.isascii():
        return given.lower()
    import idna

    for character in given:
        if _hides(character):
            reason = f"it contains the invisible character U+{ord(character):04X}"
            raise InvalidCharacter(name=given, reason=reason)
    try:
        return idna.uts46_remap(given, std3_rules=False, transitional=False)
    except idna.IDNAError as error:
        raise BadIdn(name=given, reason=error, suggestion="its registrar writes it") from None


def a_label(given: str, label: str) -> str:
    """
    The part *label* of the name *given* as it stands in DNS (RFC 5890, section 2.3.2.1).

    Raises:
        NameTooLong: It has more than 63 characters then.
        BadIdn: It is no international label, or one in a reserved form.
    """
    written = label if label.isascii() else PREFIX + _punycode(label)
    if len(written) > LONGEST_LABEL:
        raise NameTooLong(name=given, what="a part of it", length=len(written), limit=LONGEST_LABEL)
    if label is not written:
        _refuse_unregistrable(given, label, written)
    elif label.startswith(PREFIX):
        _refuse_malformed(given, label)
    elif label[2:4] == "--":
        # R-LDH, reserved by RFC 5890, section 2.3.1; boulder refuses it.
        raise BadIdn(
            name=given, reason=f"{label} has a reserved form (??--)", suggestion=label.replace("--", "-", 1)
        )
    return written


def u_label(label: str) -> str:
    """
    The part *label* of an accepted name, as people read it.
    """
    return _read_punycode(label) if label.startswith(PREFIX) else label


def is_idna_2008(label: str) -> bool:
    """
    Whether every program can be expected to take the part *label* of an accepted name.
    """
    import idna

    try:
        idna.ulabel(label)
    except idna.IDNAError:
        return False
    return True


def _hides(character: str) -> bool:
    """
    Whether nobody sees *character*: a format character, or one that the mapping drops.
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
        # A symbol. Domains with an emoji are older than this rule, and live on in this form.
        raise BadIdn(
            name=given, reason=error, suggestion=to_ascii_labels(given).replace(label, written)
        ) from None
    except idna.IDNAError as error:
        raise BadIdn(name=given, reason=error, suggestion="its registrar writes it") from None


def _refuse_malformed(given: str, label: str) -> None:
    """
    Boulder's rule (punycode that can be read, in NFC), laxer than IDNA 2008: old domains have an emoji.
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
            name=given, reason=f"{label} is not valid punycode", suggestion="its registrar writes it"
        )


def _punycode(text: str) -> str:
    return text.encode("punycode").decode("ascii")


def _read_punycode(label: str) -> str:
    return label.removeprefix(PREFIX).encode("ascii").decode("punycode")
