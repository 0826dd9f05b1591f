"""
Test paths, payloads and problem documents.
"""

from __future__ import annotations

import json

import pytest

from certworker.devca.messages import Call, Problem, Refused, Request, refusal


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
    def test_a_path_has_a_kind_and_an_id(self, path: str, kind: str, identifier: str) -> None:
        """
        Each path has a kind and an ID, which may be empty.
        """
        request = Request("GET", "http://127.0.0.1:80", path)
        assert (kind, identifier) == (request.kind, request.id)


class TestCall:
    def test_fields_need_a_payload(self) -> None:
        """
        A POST-as-GET without the required payload is malformed.
        """
        with pytest.raises(Refused, match="payload"):
            _ = Call(Request("POST", "http://127.0.0.1", "/newOrder")).fields

    def test_urls_begin_with_the_address_that_the_client_used(self) -> None:
        """
        A URL starts with the address that the client used, which differs for a CA in a container.
        """
        call = Call(Request("POST", "http://ca.localhost:8080", "/newOrder"))
        assert "http://ca.localhost:8080/order/7" == call.url("order", "7")


class TestRefusal:
    def test_a_refusal_is_a_problem_document(self) -> None:
        """
        A refusal has the type, the detail, the status and further members (RFC 7807).
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


class TestProblem:
    @pytest.mark.parametrize(
        ("problem", "status"),
        [
            (Problem("badNonce", ""), 400),
            (Problem("rateLimited", ""), 429),
            (Problem("alreadyReplaced", ""), 409),
            (Problem("malformed", "", 404), 404),
        ],
    )
    def test_a_problem_has_the_status_of_its_kind(self, problem: Problem, status: int) -> None:
        """
        The kind of a problem determines its HTTP status, unless the problem has its own.
        """
        assert (status, status) == (problem.http_status, problem.as_json()["status"])
