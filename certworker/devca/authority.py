"""
A small, complete ACME CA on the loopback interface, for the demo and the tests.

It implements RFC 8555 and RFC 9773 as a public CA does, but over plain HTTP. Its challenges are HTTP-01 and,
if it has a name server to query, DNS-01. A browser can import its root certificate from a file. `_routes`
lists all resources.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Self

from certworker.challenges.challenge import DNS01
from certworker.devca.accounts import Accounts
from certworker.devca.certification import Certification, Signing
from certworker.devca.dispatch import Dispatcher, LoggedRequest, Route
from certworker.devca.hierarchy import ROOT_FILE, Hierarchy, Signer
from certworker.devca.messages import Call, Problem, Reply, document
from certworker.devca.ordering import WILDCARD, Ordering
from certworker.devca.policy import Policy
from certworker.devca.registration import Registration
from certworker.devca.resources import Authorization, Memory
from certworker.devca.server import Server
from certworker.devca.validation import DnsValidator, Validator, resolve

TERMS = b"Certificates of this CA are for development. Do not trust them anywhere else.\n"


class DevelopmentAuthority:
    """
    The CA; a context manager that starts and stops it.

    Args:
        state_directory: The directory of its keys, its root, and its accounts; replicas may share it.
        port: The TCP port. 0 means any free port, which stays the same after `stop` and `start`.
        host: The address to listen on.
        lifetime: The lifetime of its certificates.
        http01_port: The port to which HTTP-01 validations connect.
        local_port: The same for `localhost` and the names below it; None: *http01_port*.
        clock: Returns the time of certificates and orders.
        resolve: Returns the host to connect to for a name under validation.
        dns_server: The address and port of the name server that DNS-01 validations query; None: no DNS-01.
    """

    def __init__(
        self,
        state_directory: Path,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        lifetime: timedelta = timedelta(days=90),
        http01_port: int = 80,
        local_port: int | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        resolve: Callable[[str], str] = resolve,
        dns_server: tuple[str, int] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.policy = Policy(lifetime=lifetime, offers_dns01=dns_server is not None)
        self.validator = Validator(http01_port, resolve, local_port)
        self._dns_validator = DnsValidator(dns_server) if dns_server else None
        self.root_path = state_directory / ROOT_FILE
        self._hierarchy = Hierarchy.open(state_directory, clock())
        self._accounts = Accounts(state_directory / "accounts")
        self._server: Server | None = None
        # The CA handles one request at a time, because each request is short.
        self._lock = Lock()
        self._clock = clock
        self._memory = memory = Memory()
        registration = Registration(self._accounts, self.policy)
        intermediate = self._hierarchy.intermediate
        certification = self._certification(intermediate, memory)
        self._ordering = self._new_ordering(certification, self._signing(intermediate), memory)
        self._entry = self._dispatcher(self._routes(registration, certification, self._ordering))

    @property
    def directory_url(self) -> str:
        """
        Return the URL of the directory.
        """
        return f"http://{self.host}:{self.port}/directory"

    @property
    def requests(self) -> list[LoggedRequest]:
        """
        Return the latest requests, oldest first.
        """
        return list(self._entry.logged)

    @property
    def serials(self) -> dict[str, list[int]]:
        """
        Return, by name, the serial numbers of the certificates that this process has issued, oldest first.
        """
        found: dict[str, list[int]] = {}
        with self._lock:
            for issued in self._memory.issued.values():
                for name in issued.names:
                    found.setdefault(name, []).append(issued.serial)
        return found

    @property
    def lifetime(self) -> timedelta:
        """
        Return the lifetime of the next certificates.
        """
        return self.policy.lifetime

    @lifetime.setter
    def lifetime(self, lifetime: timedelta) -> None:
        """
        Set the lifetime of the next certificates.
        """
        self.policy.lifetime = lifetime

    def start(self) -> None:
        """
        Start the server.
        """
        self._server = Server(self.host, self.port, self._entry.answer)
        self.port = self._server.server_port

    def stop(self) -> None:
        """
        Stop the server and close every connection, as in an outage. The next `start` uses the same state.
        """
        if self._server is not None:
            self._server.end()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _routes(
        self, registration: Registration, certification: Certification, ordering: Ordering
    ) -> dict[str, Route]:
        return {
            "directory": Route(self._directory, signed=False),
            "terms": Route(lambda _: Reply(body=TERMS, content_type="text/plain"), signed=False),
            "newNonce": Route(self._new_nonce, signed=False),
            "newAccount": Route(registration.register, brings_key=True),
            "account": Route(registration.account),
            "keyChange": Route(registration.change_key),
            "newOrder": Route(ordering.order),
            "order": Route(ordering.show_order),
            "authorization": Route(ordering.authorization),
            "challenge": Route(ordering.challenge),
            "finalize": Route(ordering.finalize),
            "certificate": Route(certification.certificate),
            "revokeCert": Route(certification.revoke, brings_key=None),
            "renewalInfo": Route(certification.renewal_info, signed=False),
        }

    def _certification(self, intermediate: Signer, memory: Memory) -> Certification:
        return Certification(intermediate, self.policy, memory, self._clock)

    def _signing(self, intermediate: Signer) -> Signing:
        return Signing(intermediate, self.policy, self._clock)

    def _new_ordering(self, certification: Certification, signing: Signing, memory: Memory) -> Ordering:
        return Ordering(certification, signing, self._validate, self.policy, memory, self._clock)

    def _dispatcher(self, routes: Mapping[str, Route]) -> Dispatcher:
        return Dispatcher(routes, self._accounts, self._lock)

    def _directory(self, call: Call) -> Reply:
        base = call.request.base
        resources = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange", "renewalInfo")
        meta = {
            "termsOfService": f"{base}/terms",
            "website": f"{base}/terms",
            "caaIdentities": ["localhost"],
            "externalAccountRequired": bool(self.policy.external_accounts),
            "profiles": {name: profile.description for name, profile in self.policy.profiles.items()},
        }
        return document({**{resource: f"{base}/{resource}" for resource in resources}, "meta": meta})

    def _new_nonce(self, call: Call) -> Reply:
        return Reply(200 if call.request.method == "HEAD" else 204)

    def _validate(self, authorization: Authorization, key_authorization: str) -> None:
        Thread(target=self._decide, args=(authorization, key_authorization), daemon=True).start()

    def _decide(self, authorization: Authorization, key_authorization: str) -> None:
        problem = self._check(authorization, key_authorization)
        with self._lock:
            self._ordering.decide(authorization, problem)

    def _check(self, authorization: Authorization, key_authorization: str) -> Problem | None:
        if self._dns_validator and authorization.response_type == DNS01:
            return self._dns_validator.validate(authorization.name.removeprefix(WILDCARD), key_authorization)
        return self.validator.validate(authorization.name, authorization.token, key_authorization)
