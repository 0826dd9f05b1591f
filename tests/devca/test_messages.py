"""
Paths and payloads.
"""

from __future__ import annotations

import json

import pytest

from certworker.devca.messages import Call, Request, refusal
from certworker.devca.problems import Problem, Refused


class TestRequest:
    @pytest.mark.parametrize(
        ("path", "kind", "identifier"),
        [
            ("/newOrder", "newOrder", ""),
            ("/order/7", "order", "7"),
            ("/a/b/c", "a", "b/c"),
            ("/", "", ""),
            ("*", "*", ""),
        ],
    )
    def test_its_path_has_kind_and_id(self, path: str, kind: str, identifier: str) -> None:
        """
        Whatever path comes in, there are both.
        """
        request = Request("GET", "http://127.0.0.1:80", path)
        assert (kind, identifier) == (request.kind, request.id)


class TestCall:
    def test_fields_need_a_payload(self) -> None:
        """
        A POST-as-GET where something had to be said is malformed.
        """
        with pytest.raises(Refused, match="payload"):
            _ = Call(Request("POST", "http://127.0.0.1", "/newOrder")).fields

    def test_urls_begin_where_the_client_came_in(self) -> None:
        """
        A CA in a container is reached under another address than its own.
        """
        call = Call(Request("POST", "http://ca.localhost:8080", "/newOrder"))
        assert "http://ca.localhost:8080/order/7" == call.url("order", "7")


class TestRefusal:
    def test_it_is_a_problem_document(self) -> None:
        """
        RFC 7807: type, detail, status, and what else belongs to it.
        """
        reply = refusal(Problem("rateLimited", "later", members=(("subproblems", []),)), {"Retry-After": "3"})
        assert (429, "application/problem+json", {"Retry-After": "3"}) == (
            reply.status,
            reply.content_type,
            reply.headers,
        )
        assert {
            "type": "urn:ietf:params:acme:error:rateLimited",
            "detail": "later",
            "status": 429,
            "subproblems": [],
        } == json.loads(reply.body)
