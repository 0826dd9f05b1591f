"""
Test validations, whose problems have the texts of public CAs.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from certworker.acme.problems import ACME
from certworker.acme.problems import Problem as AcmeProblem
from certworker.acme.validation_mapping import validation_failure
from certworker.challenges.challenge import DNS01, HTTP01, Dns01Challenge
from certworker.devca import validation
from certworker.devca.messages import Problem
from certworker.devca.validation import DnsValidator, Validator, resolve
from tests.servers.development import ChallengeServer
from tests.servers.ports import free_port
from tests.servers.web import WebServer
from tests.servers.zones import World

NAME, TOKEN, ANSWER = "shop.localhost", "token", "token.thumbprint"


def code_of(problem: Problem | None, name: str, challenge_type: str = HTTP01) -> str:
    """
    Return the code that certworker gives to *problem*.
    """
    assert problem is not None
    read = AcmeProblem(ACME + problem.kind, problem.detail, problem.http_status)
    return validation_failure(read, name, challenge_type, None, "The CA").code


def problem_at(server: ChallengeServer) -> Problem | None:
    """
    Return the problem of a validation at *server*, or None.
    """
    return Validator(server.port).validate(NAME, TOKEN, ANSWER)


class TestAnswer:
    def test_the_correct_response_is_accepted(self, challenge_server: ChallengeServer) -> None:
        """
        The CA accepts the correct response. The Host header has the name, as on port 80.
        """
        challenge_server.answers[TOKEN] = ANSWER
        assert problem_at(challenge_server) is None
        assert [NAME] == challenge_server.hosts

    def test_trailing_white_space_is_ignored(self, challenge_server: ChallengeServer) -> None:
        """
        The CA ignores white space after the response (RFC 8555, section 8.3).
        """
        challenge_server.answers[TOKEN] = f"{ANSWER}\r\n"
        assert problem_at(challenge_server) is None

    @pytest.mark.parametrize("answer", ["", "token.other", f"\ufeff{ANSWER}", f" {ANSWER}", "x" * 5000])
    def test_another_response_is_refused(self, challenge_server: ChallengeServer, answer: str) -> None:
        """
        The CA refuses an empty, different or long response, and a byte order mark or space before it.
        """
        challenge_server.answers[TOKEN] = answer
        problem = problem_at(challenge_server)
        assert problem is not None
        assert ("unauthorized", 403) == (problem.kind, problem.http_status)

    def test_an_error_page_is_refused(self, challenge_server: ChallengeServer) -> None:
        """
        The problem has the HTTP status, which names the cause.
        """
        problem = problem_at(challenge_server)
        assert problem is not None
        assert problem.detail.endswith(f"{TOKEN}: 404")

    def test_a_closed_port_is_a_connection_problem(self) -> None:
        """
        The problem of a closed port differs from the problem of a wrong response.
        """
        problem = Validator(free_port()).validate(NAME, TOKEN, ANSWER)
        assert problem is not None
        assert "connection" == problem.kind
        assert problem.detail.endswith("Connection refused")


class TestTexts:
    """
    The texts are those of Let's Encrypt, by which clients recognize the cause.
    """

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (b"", "http.reset"),
            (b"\x15\x03\x01\x00\x02\x02\x50", "http.https_on_80"),
            (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "http.404"),
            (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "http.basic_auth"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort", "http.reset"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nWelcome", "http.wrong_body"),
            (b"HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\nContent-Length: 0\r\n\r\n", "http.redirect_bad"),
            (b"HTTP/1.1 302 Found\r\nLocation: http://[\r\nContent-Length: 0\r\n\r\n", "http.redirect_bad"),
        ],
    )
    def test_each_cause_is_recognized(self, answer: bytes, code: str) -> None:
        """
        The response of the web server determines the code.
        """
        with WebServer(lambda _path, _visitor: answer) as server:
            assert code == code_of(Validator(server.port).validate(NAME, TOKEN, ANSWER), NAME)

    def test_a_name_that_does_not_resolve_has_no_record(self) -> None:
        """
        An unknown name is dns.no_record, and so is an unreachable resolver.
        """
        problem = Validator(80).validate("unknown.invalid", TOKEN, ANSWER)

        assert "dns.no_record" == code_of(problem, "unknown.invalid")
        assert problem is not None
        assert "unknown.invalid" in problem.detail

    def test_a_closed_port_refuses(self) -> None:
        """
        A port without a listener is http.refused.
        """
        assert "http.refused" == code_of(Validator(free_port()).validate(NAME, TOKEN, ANSWER), NAME)

    def test_a_silent_server_is_slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        A server that accepts the connection and sends nothing is http.slow.
        """
        monkeypatch.setattr(validation, "TIMEOUT_SECONDS", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            problem = Validator(silent.getsockname()[1]).validate(NAME, TOKEN, ANSWER)

        assert "http.slow" == code_of(problem, NAME)


class TestRedirect:
    def test_a_redirect_is_followed(self, challenge_server: ChallengeServer) -> None:
        """
        The CA follows a redirect, also to another name.
        """
        challenge_server.redirects[TOKEN] = "http://www.shop.localhost/other"
        challenge_server.answers["other"] = ANSWER
        assert problem_at(challenge_server) is None
        assert [NAME, "www.shop.localhost"] == challenge_server.hosts

    def test_a_redirect_loop_ends(self, challenge_server: ChallengeServer) -> None:
        """
        The CA stops after ten redirects.
        """
        challenge_server.redirects[TOKEN] = f"/{TOKEN}"
        problem = problem_at(challenge_server)
        assert problem is not None
        assert "Too many redirects" in problem.detail
        assert 11 == len(challenge_server.hosts)

    @pytest.mark.parametrize(
        "target", ["http://shop.localhost:9/", "ftp://shop.localhost/", "http://[", "http://a:b/"]
    )
    def test_other_targets_are_refused(self, challenge_server: ChallengeServer, target: str) -> None:
        """
        The CA follows only redirects to HTTP and HTTPS at their ports.
        """
        challenge_server.redirects[TOKEN] = target
        problem = problem_at(challenge_server)
        assert problem is not None
        assert "connection" == problem.kind


class TestResolve:
    def test_localhost_is_this_machine(self) -> None:
        """
        A name below localhost resolves to the loopback interface without DNS (RFC 6761, section 6.3).
        """
        assert ["127.0.0.1"] * 2 == [resolve("localhost"), resolve("a.b.localhost")]
        assert "notlocalhost" == resolve("notlocalhost")

    def test_another_resolver_can_be_set(self, challenge_server: ChallengeServer) -> None:
        """
        Another resolver can be set, with which tests validate public names on this machine.
        """
        challenge_server.answers[TOKEN] = ANSWER
        validator = Validator(challenge_server.port, lambda _: "127.0.0.1")
        assert validator.validate("shop.example.org", TOKEN, ANSWER) is None
        assert ["shop.example.org"] == challenge_server.hosts

    def test_this_machine_can_have_another_port(self, challenge_server: ChallengeServer) -> None:
        """
        The development CA validates `localhost` at the HTTP server of the worker.
        """
        challenge_server.answers[TOKEN] = ANSWER
        validator = Validator(free_port(), local_port=challenge_server.port)
        assert validator.validate("shop.localhost", TOKEN, ANSWER) is None


class TestDnsValidator:
    """
    The texts are those of Boulder, by which clients recognize the cause.
    """

    @pytest.fixture
    def world(self) -> Iterator[World]:
        """
        Run a resolver and the name server of the zone shop.org.
        """
        with World() as world:
            world.zone("shop.org", {"shop.org": {}})
            yield world

    def test_a_value_behind_a_cname_is_found(self, world: World) -> None:
        """
        The CA follows a CNAME record, with which customers delegate the challenge.
        """
        value = Dns01Challenge("shop.org", TOKEN, ANSWER).value
        world.servers[0].rows["_acme-challenge.shop.org"] = {"CNAME": ["shop.acme.org"]}
        world.servers[0].rows["shop.acme.org"] = {"TXT": ['"another"', f'"{value}"']}

        assert DnsValidator(world.resolver.address).validate("shop.org", ANSWER) is None

    @pytest.mark.parametrize(
        ("rows", "kind", "text"),
        [
            ({}, "dns", "NXDOMAIN looking up TXT for _acme-challenge.shop.org"),
            ({"CAA": []}, "unauthorized", "No TXT record found at _acme-challenge.shop.org"),
            (
                {"TXT": ['"another"']},
                "unauthorized",
                'Incorrect TXT record "another" found at _acme-challenge.shop.org',
            ),
        ],
    )
    def test_another_answer_is_a_problem(
        self, world: World, rows: dict[str, list[str]], kind: str, text: str
    ) -> None:
        """
        The problem of a missing or wrong value names the record.
        """
        if rows:
            world.servers[0].rows["_acme-challenge.shop.org"] = rows

        problem = DnsValidator(world.resolver.address).validate("shop.org", ANSWER)

        assert problem is not None
        assert kind == problem.kind
        assert text in problem.detail
        assert "dns01.not_visible" == code_of(problem, "shop.org", DNS01)

    def test_a_closed_port_is_a_problem(self) -> None:
        """
        A closed port of the name server is a DNS problem.
        """
        problem = DnsValidator(("127.0.0.1", free_port())).validate("shop.org", ANSWER)

        assert problem is not None
        assert "dns" == problem.kind
