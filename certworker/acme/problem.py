"""
The problem document of a CA (RFC 7807), as a value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from certworker.errors import printable

#: The prefix of the types of ACME (RFC 8555, section 6.7).
ACME = "urn:ietf:params:acme:error:"

#: Characters of a detail. Those of Let's Encrypt contain long links.
LONGEST_DETAIL = 4000

#: Boulder quotes the name in the detail if there is no identifier.
_QUOTED_NAME = re.compile(r'for "([^"\s]+)"')


@dataclass(frozen=True)
class Problem:
    """
    A problem that a CA reports.
    """

    type: str
    detail: str
    status: int
    #: The name that the problem is about; None: unknown.
    name: str | None = None
    #: The page for this occurrence (RFC 7807, section 3.1), which may be a relative reference.
    instance: str | None = None

    @classmethod
    def read(cls, document: object, status: int = 0) -> Problem:
        """
        Return the problem in *document*, which may be any JSON.

        The first of several subproblems applies (RFC 8555, section 6.7.1): the outer text is only a summary.
        """
        outer = document if isinstance(document, dict) else {}
        inner = outer.get("subproblems")
        first = inner[0] if isinstance(inner, list) and inner else None
        problem = first if isinstance(first, dict) else outer
        detail = _text(problem.get("detail")) or _text(problem.get("title")) or "no reason given"
        return cls(
            type=_text(problem.get("type")) or "about:blank",
            detail=detail[:LONGEST_DETAIL],
            status=status or _number(outer.get("status")),
            name=_name(problem.get("identifier"), detail),
            instance=_text(problem.get("instance")) or _text(outer.get("instance")) or None,
        )

    @property
    def kind(self) -> str:
        """
        Return the type without the prefix of ACME.
        """
        return self.type.removeprefix(ACME)

    def matches(self, kind: str, text: str) -> bool:
        """
        Return whether the kind is the pattern *kind*, and the detail contains the pattern *text*.
        """
        return bool(re.fullmatch(kind, self.kind) and re.search(text, self.detail, re.IGNORECASE))

    def as_json(self) -> dict[str, Any]:
        """
        Return the problem for JSON, with printable texts.
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
