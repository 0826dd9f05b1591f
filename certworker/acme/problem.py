"""
What a CA says went wrong: a problem document (RFC 7807), as a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from certworker.errors import printable

#: What the types of ACME begin with (RFC 8555, section 6.7).
ACME = "urn:ietf:params:acme:error:"

#: Longer than any that a CA means for people; the links of Let's Encrypt in them are long.
LONGEST_DETAIL = 4000

#: Boulder quotes the name in its texts, where it does not give it as the identifier.
_QUOTED_NAME = re.compile(r'for "([^"\s]+)"')


@dataclass(frozen=True)
class Problem:
    """
    What a CA said went wrong.
    """

    type: str
    detail: str
    status: int
    #: The name it speaks of, where it says that.
    name: str | None = None
    #: The page for this occurrence (RFC 7807, section 3.1), which may be a relative reference.
    instance: str | None = None

    @classmethod
    def read(cls, document: object, status: int = 0) -> Problem:
        """
        The problem in *document*, whatever that is.

        Of several (RFC 8555, section 6.7.1) the first one speaks: the text above them only sums up.
        """
        outer = document if isinstance(document, dict) else {}
        inner = outer.get("subproblems")
        first = inner[0] if isinstance(inner, list) and inner else None
        told = first if isinstance(first, dict) else outer
        detail = _text(told.get("detail")) or _text(told.get("title")) or "no reason given"
        return cls(
            type=_text(told.get("type")) or "about:blank",
            detail=detail[:LONGEST_DETAIL],
            status=status or _number(outer.get("status")),
            name=_name(told.get("identifier"), detail),
            instance=_text(told.get("instance")) or _text(outer.get("instance")) or None,
        )

    @property
    def kind(self) -> str:
        """
        The type without ACME's prefix.
        """
        return self.type.removeprefix(ACME)

    def says(self, kind: str, text: str) -> bool:
        """
        Whether its kind is, and its detail contains, what these patterns say.
        """
        return bool(re.fullmatch(kind, self.kind) and re.search(text, self.detail, re.IGNORECASE))

    def as_json(self) -> dict[str, Any]:
        """
        The CA's own words, fit to be printed.
        """
        return {"type": printable(self.type), "detail": printable(self.detail), "status": self.status}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _name(identifier: object, detail: str) -> str | None:
    if isinstance(identifier, dict):
        return _text(identifier.get("value")) or None
    quoted = _QUOTED_NAME.search(detail)
    return quoted[1] if quoted else None
