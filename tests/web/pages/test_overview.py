"""
Tests of the overview.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from redis import Redis

from certworker.dashboard.actions import Actions
from certworker.dashboard.names import NameIndex
from certworker.replication.nodes import Node, Nodes
from tests.replication.hosts import KEY
from tests.servers.redis import RedisServer
from tests.web.application import NOW, client_with, create_token, open_application
from tests.web.pages import showcase
from tests.web.pages.conftest import Site


class TestOverview:
    def test_what_needs_a_person_has_its_cause_and_its_remedy(self, site: Site) -> None:
        """
        Each name with a problem is shown with its message, its remedy and the page of its code.
        """
        text = site.reader.get("/").text

        assert "customer.example.org does not point to this Appwrite" in text
        assert f"customer.example.org. A {showcase.ADDRESS}" in text
        assert 'href="/errors/dns.cname_target"' in text
        assert "intranet.example.com" in text

    def test_an_operator_sees_the_limits_the_queue_and_the_workers(self, site: Site) -> None:
        """
        The overview has the limits of the CA, the queue, the workers and the proxy.
        """
        text = site.operator.get("/").text

        assert all(part in text for part in ("Let&#39;s Encrypt", "Orders of the account", "Traefik"))
        assert "No worker is running." in text
        assert "not measured in the last 24 hours" in text
        assert "not measured: no worker reports" in text

    def test_the_load_of_traefik_is_what_the_workers_report(self, site: Site) -> None:
        """
        The overview has the reloads of Traefik, and how long it takes until it serves a new certificate.
        """
        showcase.add_worker(site.sources)
        text = site.operator.get("/").text

        assert "1.9 s, at most 4.2 s" in text
        assert "(9 certificates in the last 24 hours)" in text
        assert "about 1.3 an hour" in text

    def test_a_tenant_sees_its_names_only(self, site: Site) -> None:
        """
        The overview of a tenant contains neither other names nor details of the machine.
        """
        text = site.tenant.get("/").text

        assert showcase.TENANTS_NAME in text
        assert not [word for word in ("example.org", "example.net", "Traefik", "Workers") if word in text]
        assert '<span class="number">1</span>' in text

    def test_the_hosts_are_shown_with_what_they_lack(
        self, tmp_path: Path, redis_server: RedisServer, connection: Redis
    ) -> None:
        """
        With a replication key, the overview has each host with its version, its last report and its problems.
        """
        sources = showcase.sources_in(
            tmp_path, redis_server.port, connection, lambda: NOW, CERTWORKER_REPLICATION_KEY=KEY
        )
        index, tokens, nodes = NameIndex(sources), tmp_path / "tokens", Nodes(connection)
        application = open_application(tokens, sources=sources, index=index, actions=Actions(sources))
        worker = Node("a" * 16, "<host1>", "worker", "1.0", nodes.now(), 3_000, "0-0", is_complete=True)
        nodes.report(worker)
        nodes.report(replace(worker, id="b" * 16, role="mirror", names=1, code="replication.wrong_key"))
        text = client_with(application, create_token(tokens, "read")).get("/").text
        tenant = client_with(application, create_token(tokens, "read", "acme")).get("/").text
        index.stop()

        shown = ("&lt;host1&gt;", "3,000 names", "certworker 1.0", "2,999 missing", "replication.wrong_key")
        assert all(part in text for part in shown)
        assert "Hosts" not in tenant

    def test_without_a_replication_key_no_host_is_shown(self, site: Site) -> None:
        """
        A single host has no list of hosts.
        """
        assert "Hosts" not in site.operator.get("/").text
