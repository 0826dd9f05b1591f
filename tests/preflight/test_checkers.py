"""
Test all checks together, with a small DNS and a CA.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ReadOnlyError

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.preflight.checkers import build_resolver, verify
from certworker.redis.client import connect
from certworker.redis.url import RedisURL
from certworker.settings import load
from tests.app_fixture import open_app
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.redis import RedisServer
from tests.servers.zones import World

#: A public address, to which no test connects. The addresses for documentation (RFC 5737) are not public.
PUBLIC = "9.9.9.9"

CAA_OTHER = {"A": ["127.0.0.9"], "CAA": ['0 issue "digicert.com"']}


def orders(authority: FaultyAuthority) -> int:
    """
    Return the number of orders with the CA.
    """
    return sum(request.kind == "newOrder" for request in authority.requests)


class AppFactory:
    """
    A factory of apps that use the resolver of `dns_world`.
    """

    def __init__(
        self, path: Path, connection: Redis, authority: FaultyAuthority, world: World, http_port: int
    ) -> None:
        self.path = path
        self.connection = connection
        self.authority = authority
        self.world = world
        self.http_port = http_port

    @contextmanager
    def app(self, **more: str) -> Iterator[App]:
        """
        Open an app that treats its CA as a public CA.
        """
        settings = {
            "_APP_ENV": "production",
            "_APP_EMAIL_CERTIFICATES": "ops@shop.org",
            "_APP_DNS": "{}:{}".format(*self.world.resolver.address),
            "CERTWORKER_PRIVATE_NETWORK": "false",
            **more,
        }
        url = self.authority.directory_url
        with open_app(self.path, self.connection, url, self.http_port, variables=settings) as opened:
            yield opened


@pytest.fixture
def apps(
    tmp_path: Path,
    connection: Redis,
    app_authority: FaultyAuthority,
    dns_world: World,
    http_port: int,
) -> AppFactory:
    """
    Return a factory of apps, without any zone.
    """
    return AppFactory(tmp_path, connection, app_authority, dns_world, http_port)


class TestFailures:
    @pytest.mark.parametrize(
        ("rows", "code"),
        [
            ({"shop.org": {"A": [PUBLIC]}}, "dns.no_record"),
            ({"www.shop.org": {"A": ["10.0.0.1"]}}, "dns.private_ip"),
            ({"www.shop.org": {"A": ["10.0.0.1"], "CAA": ['0 issue ";"']}}, "dns.private_ip"),
            (None, "name.not_registered"),
        ],
    )
    def test_no_order_is_placed(
        self, apps: AppFactory, rows: dict[str, dict[str, list[str]]] | None, code: str
    ) -> None:
        """
        A failed check prevents the order, and the next attempt is soon.
        """
        if rows is not None:
            apps.world.zone("shop.org", rows)
        with apps.app() as app, pytest.raises(CertworkerError) as caught:
            app.issuance.issue(("www.shop.org",))

        assert code == caught.value.code
        assert 0 == orders(apps.authority)
        record = app.records.read("www.shop.org")
        assert record is not None
        assert record.next_check is not None
        assert record.next_check - record.updated < timedelta(minutes=2)

    def test_a_caa_record_is_compared_with_the_names_of_the_ca(self, apps: AppFactory) -> None:
        """
        The check compares CAA records with the names in the directory of the CA.
        """
        apps.world.zone("shop.org", {"shop.org": CAA_OTHER})
        with (
            apps.app(CERTWORKER_PRIVATE_NETWORK="true") as app,
            pytest.raises(CertworkerError) as caught,
        ):
            app.issuance.issue(("shop.org",))

        assert "caa.forbidden" == caught.value.code
        assert 'shop.org. CAA 0 issue "localhost"' in caught.value.remedy
        assert 0 == orders(apps.authority)

    def test_a_setting_that_no_ca_accepts_is_reported_first(self, apps: AppFactory) -> None:
        """
        A missing e-mail address is reported before any DNS query.
        """
        with apps.app(_APP_EMAIL_CERTIFICATES="") as app, pytest.raises(CertworkerError) as caught:
            app.issuance.issue(("www.shop.org",))

        assert "config.email_missing" == caught.value.code
        assert [] == apps.world.resolver.asked


class TestPasses:
    def test_a_passed_preflight_is_one_log_line(self, app: App, caplog: pytest.LogCaptureFixture) -> None:
        """
        A name without problems has one line in the log, and no warning.
        """
        with caplog.at_level(logging.INFO):
            app.issuance.issue(("shop.localhost",))

        (line,) = [each for each in caplog.records if getattr(each, "event", "") == "preflight"]
        assert logging.INFO == line.levelno
        assert re.match(r"preflight ok \(this machine, port \d+ answers in ", line.message)

    def test_an_invalid_target_prevents_no_certificate(
        self, apps: AppFactory, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        An invalid target setting is reported for each job, and the certificate is issued.
        """
        wrong = {"_APP_DOMAIN_TARGET_A": "example", "_APP_DOMAIN_TARGET_CAA": "certainly.com"}
        with apps.app(CERTWORKER_PRIVATE_NETWORK="true", **wrong) as app:
            app.issuance.issue(("shop.localhost",))

        assert 2 == caplog.text.count("[dns.target_invalid]")


class TestReadOnlyRedis:
    """
    The check of port 80 stores its token in Redis, which can become a replica at any time.
    """

    @pytest.fixture
    def app(
        self, tmp_path: Path, own_redis: RedisServer, app_authority: FaultyAuthority, http_port: int
    ) -> Iterator[App]:
        """
        Return an app whose Redis can become read-only.
        """
        with (
            connect(RedisURL.parse(own_redis.url)) as connection,
            open_app(tmp_path, connection, app_authority.directory_url, http_port) as opened,
        ):
            yield opened

    def test_the_job_fails_with_the_failure_of_redis(
        self, app: App, own_redis: RedisServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        The failure is `redis.readonly`, without a traceback, and no order reaches the CA.
        """

        def preflight(names: Sequence[str], **options: Any) -> Sequence[CertworkerError]:
            own_redis.client().replicaof("127.0.0.1", "1")
            return app.preflight(names, **options)

        with pytest.raises(CertworkerError) as caught:
            replace(app.issuance, preflight=preflight).issue(("shop.localhost",))

        assert "redis.readonly" == caught.value.code
        assert [] == [line.message for line in caplog.records if line.exc_info]
        assert "[worker.unexpected]" not in caplog.text

    @pytest.mark.parametrize("renewing", [False, True])
    def test_the_failure_of_redis_is_not_cached(
        self, app: App, own_redis: RedisServer, renewing: bool
    ) -> None:
        """
        The next preflight checks again, and passes as soon as Redis accepts writes.
        """
        own_redis.client().replicaof("127.0.0.1", "1")
        with pytest.raises(ReadOnlyError):
            app.preflight(["shop.localhost"], renewing=renewing)
        own_redis.client().replicaof("no", "one")

        (found,) = app.preflight.check_names(["shop.localhost"], renewing=renewing)

        assert {"port 80"} == {each.check for each in found if each.result.is_proof}


class TestRenewal:
    def test_a_failure_lets_one_renewal_a_day_pass(
        self, apps: AppFactory, caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        A failed check lets one renewal a day reach the CA.
        """
        with apps.app(CERTWORKER_PRIVATE_NETWORK="true") as app:
            app.issuance.issue(("shop.localhost",))
        before = orders(apps.authority)
        with apps.app() as app:
            app.preflight(["www.shop.org"], renewing=True)

            assert "[name.not_registered]" in caplog.text
            with pytest.raises(CertworkerError):
                app.preflight(["www.shop.org"], renewing=True)
        assert before == orders(apps.authority)


class TestVerify:
    def test_only_dns_is_checked(self, apps: AppFactory) -> None:
        """
        The verification of Appwrite checks DNS, not port 80.
        """
        apps.world.zone("shop.org", {"shop.org": {"A": ["127.0.0.9"]}, "www.shop.org": {"A": []}})
        with apps.app(CERTWORKER_PRIVATE_NETWORK="true", _APP_DOMAIN_TARGET_A="127.0.0.9") as app:
            verify(app.preflight, "shop.org")

    @pytest.mark.parametrize(
        ("rows", "code"), [({"A": ["127.0.0.9"]}, "dns.cname_target"), (CAA_OTHER, "caa.forbidden")]
    )
    def test_the_first_failure_is_raised(
        self, apps: AppFactory, rows: dict[str, list[str]], code: str
    ) -> None:
        """
        The verification raises the first failure, with its code.
        """
        apps.world.zone("shop.org", {"shop.org": rows})
        with (
            apps.app(CERTWORKER_PRIVATE_NETWORK="true", _APP_DOMAIN_TARGET_A="127.0.0.7") as app,
            pytest.raises(CertworkerError) as caught,
        ):
            verify(app.preflight, "shop.org")

        assert code == caught.value.code


class TestResolver:
    def test_in_a_private_network_no_public_resolver_is_queried(self) -> None:
        """
        No public resolver receives a query for a private name.
        """
        private = {"CERTWORKER_AUTHORITY": "https://ca.lan/dir", "CERTWORKER_PRIVATE_NETWORK": "true"}

        records = build_resolver(load({**private, "_APP_DNS": "8.8.8.8"})).look_up("nowhere.invalid")

        assert () == records.resolvers
