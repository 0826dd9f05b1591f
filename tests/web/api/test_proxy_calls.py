"""
Tests of the routes for proxies in the OpenAPI document.
"""

from __future__ import annotations

from pathlib import Path

from certworker.web.api.openapi import openapi
from certworker.web.api.proxy_calls import PREFIX, proxy_paths
from certworker.web.proxies import blueprint
from tests.web.application import open_application


class TestPaths:
    def test_the_document_has_each_route(self, tmp_path: Path) -> None:
        """
        The document has the routes of the application below `/proxies`, and no others.
        """
        routes = {rule.rule for rule in open_application(tmp_path / "tokens").url_map.iter_rules()}

        assert proxy_paths("").keys() == {route for route in routes if route.startswith(f"{PREFIX}/")}
        assert proxy_paths("").keys() <= openapi()["paths"].keys()
        assert blueprint().url_prefix == PREFIX

    def test_the_routes_are_not_below_the_path_of_the_api(self) -> None:
        """
        Each route has a server of its own, also if the page is below a path.
        """
        paths = openapi("/certs/api/v1")["paths"]

        assert ["/certs"] == [server["url"] for server in paths["/proxies/ask"]["get"]["servers"]]
        assert ["/"] == [server["url"] for server in openapi()["paths"]["/proxies/ask"]["get"]["servers"]]
