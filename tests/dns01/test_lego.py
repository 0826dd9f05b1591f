"""
Compare the protocols `exec` and `httpreq` with the requests of lego itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certworker.dns01.exec import Exec
from certworker.dns01.httpreq import HttpReq
from certworker.dns01.provider import TxtRecord
from tests.dns01.services import Call, always, service
from tests.servers.clients import lego_dns
from tests.servers.development import development_authority
from tests.servers.zones import World

NAME = "shop.localhost"
FQDN = f"_acme-challenge.{NAME}"

#: Runs lego with a provider and its variables. The provider creates no record, so the validation fails.
RunLego = Callable[[str, dict[str, str]], None]


@pytest.fixture
def run_lego(tmp_path: Path) -> Iterator[RunLego]:
    """
    Return a function with which lego requests a wildcard.
    """
    with World() as world:
        resolver = world.resolver.address
        with development_authority(tmp_path, dns_server=resolver) as authority:

            def run(provider: str, variables: dict[str, str]) -> None:
                url = authority.directory_url
                ended = lego_dns(url, tmp_path / "lego", f"*.{NAME}", provider, variables, resolver)
                assert ended.code != 0, ended.output

            yield run


def test_exec_sends_the_arguments_of_lego(run_lego: RunLego, tmp_path: Path) -> None:
    """
    A program gets the same arguments from certworker as from lego.
    """
    calls, program = tmp_path / "calls", tmp_path / "program"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$#" "$@" >> {calls}\n')
    program.chmod(0o755)
    run_lego("exec", {"EXEC_PATH": str(program)})
    of_lego = calls.read_text().splitlines()
    calls.unlink()
    record = TxtRecord(FQDN, of_lego[3], NAME)

    Exec(program).present(record)
    Exec(program).withdraw(record)

    assert calls.read_text().splitlines() == of_lego


@pytest.mark.parametrize("mode", ["", "RAW"])
def test_httpreq_sends_the_requests_of_lego(run_lego: RunLego, mode: str) -> None:
    """
    A service gets the same requests from certworker as from lego, in both modes.
    """
    with service(always(200)) as server:
        endpoint = f"{server.url}/dns"
        run_lego(
            "httpreq",
            {
                "HTTPREQ_ENDPOINT": endpoint,
                "HTTPREQ_MODE": mode,
                "HTTPREQ_USERNAME": "user",
                "HTTPREQ_PASSWORD": "pass",
            },
        )
        of_lego = server.calls.copy()
        server.calls.clear()
        content = of_lego[0].content
        record = TxtRecord(
            FQDN,
            content.get("value", ""),
            NAME,
            name=content.get("domain", ""),
            token=content.get("token", ""),
            key_authorization=content.get("keyAuth", ""),
        )

        provider = HttpReq(endpoint, "user", "pass", raw=mode == "RAW")
        provider.present(record)
        provider.withdraw(record)

        assert list(map(relevant, server.calls)) == list(map(relevant, of_lego))


def relevant(call: Call) -> tuple[object, ...]:
    """
    Return the parts of a request that a service reads.
    """
    return call.path, call.headers["content-type"], call.headers["authorization"], call.content
