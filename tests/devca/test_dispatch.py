"""
Tests of the behavior that all requests share.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.servers.acme_client import AcmeClient, problem_of
from tests.servers.development import ChallengeServer
from tests.servers.faulty_authority import FaultyAuthority


class TestDispatcher:
    def test_every_reply_has_a_nonce(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        A refusal also has a nonce (RFC 8555, section 6.5).
        """
        for url in (authority.directory_url, f"http://127.0.0.1:{authority.port}/nothing"):
            assert client.session.get(url).headers["Replay-Nonce"]

    def test_an_unknown_resource_is_not_found(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        The response to an unknown URL is a problem document.
        """
        url = f"http://127.0.0.1:{authority.port}/nothing"
        assert (404, "malformed") == problem_of(client.session.get(url))
        assert (404, "malformed") == problem_of(client.post(url))

    def test_a_resource_has_its_method(self, client: AcmeClient) -> None:
        """
        Directory, nonce and renewal information allow GET, other resources only POST (RFC 8555,
        section 6.3).
        """
        assert (405, "malformed") == problem_of(client.session.get(client.directory["newOrder"]))
        assert (405, "malformed") == problem_of(client.post(client.directory["newNonce"]))

    def test_requests_are_recorded(self, authority: FaultyAuthority, client: AcmeClient) -> None:
        """
        Each request is recorded with its resource, its names and its status.
        """
        client.order("shop.localhost")
        last = authority.requests[-1]
        assert ("POST", "newOrder", ("shop.localhost",), 201) == (
            last.method,
            last.kind,
            last.names,
            last.status,
        )

    def test_an_error_of_the_ca_is_a_problem_document(
        self, authority: FaultyAuthority, client: AcmeClient
    ) -> None:
        """
        An unexpected exception becomes a serverInternal problem, and the connection stays open.
        """
        authority.policy.profiles.clear()
        assert (500, "serverInternal") == problem_of(client.new_order("shop.localhost"))

    def test_many_clients_at_once(
        self, authority: FaultyAuthority, client: AcmeClient, challenge_server: ChallengeServer
    ) -> None:
        """
        The CA serves 64 connections at the same time, as many as a worker can have slots.
        """

        def work(number: int) -> tuple[str, ...]:
            own = AcmeClient(authority.directory_url, client.key)
            own.kid = client.kid
            return own.issue(f"site{number}.localhost", server=challenge_server).names

        with ThreadPoolExecutor(64) as pool:
            issued = set(pool.map(work, range(64)))
        assert {(f"site{number}.localhost",) for number in range(64)} == issued
