"""
The refusal of a request.
"""

from __future__ import annotations


class Refused(Exception):
    """
    A request is refused. A program gets a problem document, and a browser gets an error page.

    Attributes:
        status: The HTTP status.
        detail: Why the request is refused, as a sentence.
        remedy: What to change, in the imperative.
        retry_after: The seconds until another attempt may succeed; 0 if time alone changes nothing.
    """

    def __init__(self, status: int, detail: str, remedy: str, *, retry_after: int = 0) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.remedy = remedy
        self.retry_after = retry_after
