"""
Tests of the routes.
"""

from __future__ import annotations

from flask import Flask
from flask.testing import FlaskClient

from certworker.web.api.openapi import openapi
from certworker.web.api.operations import OPERATIONS


class TestBlueprint:
    def test_each_operation_has_its_route(self, application: Flask) -> None:
        """
        Each operation of the table is a route with its method.
        """
        routes = {
            (method, str(rule)) for rule in application.url_map.iter_rules() for method in rule.methods or ()
        }

        for operation in OPERATIONS:
            path = "/api/v1" + operation.path.replace("{name}", "<name>")
            assert (operation.method, path) in routes

    def test_the_document_has_the_path_of_the_proxy(self, application: Flask) -> None:
        """
        The OpenAPI document is open to all. It has the path below which a proxy serves the API.
        """
        client: FlaskClient = application.test_client()

        assert openapi() == client.get("/api/v1/openapi.json").json
        below = client.get("/api/v1/openapi.json", environ_overrides={"SCRIPT_NAME": "/certs"})
        assert [{"url": "/certs/api/v1"}] == (below.json or {})["servers"]
