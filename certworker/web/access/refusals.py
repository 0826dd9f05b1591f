"""
The refusal of a request.
"""

from __future__ import annotations


class Refused(Exception):
    """
    A request is refused. The API answers with a problem document, and the page with a page.

    Attributes:
        status: The HTTP status.
        detail: What is refused, as a sentence.
        remedy: What to change, in the imperative.
    """

    def __init__(self, status: int, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.remedy = remedy
