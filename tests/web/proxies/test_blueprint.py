"""
Tests of the routes for proxies.
"""

from __future__ import annotations

from flask.testing import FlaskClient


class TestRoutes:
    def test_the_failures_are_problem_documents(self, proxy: FlaskClient) -> None:
        """
        A proxy gets a problem document, not a page, for an unknown path and for another method.
        """
        for response, status in (
            (proxy.get("/proxies/other"), 404),
            (proxy.post("/proxies/traefik"), 405),
            (proxy.get("/proxies/certificate"), 400),
        ):
            assert (status, "application/problem+json") == (response.status_code, response.content_type)
