"""
The API, version 1.

In import order (★ to read first)::

    schemas      JSON Schemas of dataclasses
    models       The JSON documents of requests and responses
    parameters   The parameters of queries, and the body of a request
    rate_limit   The limit of calls from one caller
    responses    JSON responses, and problem documents for all failures
    names        The calls that read names
    actions      The calls that change something
    machine      The calls about the whole installation
    events       The outcomes of jobs as server-sent events
    operations  ★ The table of all calls
    proxy_calls  The routes for proxies in the OpenAPI document
    openapi      The OpenAPI document, from this table
    blueprint    The routes of Flask, from this table
"""

from certworker.web.api.blueprint import blueprint

__all__ = ["blueprint"]
