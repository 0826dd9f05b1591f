"""
The commands of docs/guides/caddy-haproxy-nginx-kamal.md run, with a real worker, HAProxy and nginx.

tests/interop/test_proxies.py runs Caddy with the configuration of the page.
"""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from certworker.settings import HttpAddress, load
from certworker.traefik.tls_probe import served_certificate
from certworker.web.proxies.permission import NEW_REQUESTS
from certworker.web.proxies.platform import LONGEST_SECONDS
from certworker.web.proxies.traefik import MOST_NAMES
from tests.cli.conftest import worker
from tests.documentation import DOCS
from tests.guides import Section, sections
from tests.servers.ports import free_port
from tests.servers.web import WebServer, always
from tests.servers.worker import WorkerProcess, wait_until
from tests.shell_examples import run_shell
from tests.test_other_servers import Server, program, running
from tests.test_other_servers import nginx as nginx_with

__all__ = ["worker"]

TOP = Path(__file__).parents[1]
GUIDE = DOCS / "guides" / "caddy-haproxy-nginx-kamal.md"
ADDRESS, SHOP, NEW = "127.0.0.1:8081", "shop.localhost", "new.shops.localhost"


@pytest.fixture(scope="module")
def guide() -> dict[str, Section]:
    """
    Return the sections of the guide.
    """
    return sections(GUIDE)


def served(name: str, port: int) -> bytes | None:
    """
    Return the certificate that a client of *name* gets; None without a response.
    """
    try:
        return served_certificate(name, HttpAddress("127.0.0.1", port))
    except OSError:
        return None


class Reader:
    """
    The machine of a reader, on which the paths and the addresses of the guide are those of a test.
    """

    def __init__(self, place: Path, worker: WorkerProcess) -> None:
        self.place, self.port, self.worker = place, free_port(), worker
        self.address = f"127.0.0.1:{free_port()}"
        self.volume = Path(worker.environment["CERTWORKER_CERTIFICATES_DIR"])
        worker.environment["CERTWORKER_WEB_ADDRESS"] = self.address

    def local(self, text: str) -> str:
        """
        Return *text* of the guide with the paths of this machine.
        """
        for path, here in {
            ADDRESS: self.address,
            "/storage/certificates": str(self.volume),
            "/etc/haproxy": str(self.place),
            "/etc/nginx": str(self.place),
            "/run/haproxy.sock": str(self.place / "haproxy.sock"),
            "contrib/haproxy/crt-list": str(TOP / "contrib/haproxy/crt-list"),
        }.items():
            text = text.replace(path, here)
        return text

    def run(self, block: str) -> str:
        """
        Run the commands in *block*; return their output.
        """
        url = f"http://{self.address}/proxies"
        return run_shell(self.local(block), self.place, self.worker.environment | {"url": url})

    def certificate(self, name: str) -> bytes | None:
        """
        Return the certificate of *name* on the volume; None if there is none.
        """
        file = self.volume / name / "cert.pem"
        return ssl.PEM_cert_to_DER_cert(file.read_text()) if file.exists() else None

    def wait_for(self, name: str) -> None:
        """
        Wait until a client of *name* gets the certificate of the volume.
        """

        def is_served() -> bool | None:
            expected = self.certificate(name)
            return (expected is not None and served(name, self.port) == expected) or None

        wait_until(is_served, lambda: self.worker.log, pause_seconds=0.1)


@pytest.fixture
def reader(tmp_path: Path, worker: WorkerProcess) -> Reader:
    """
    Return the machine of a reader, with a worker that is not started.
    """
    return Reader(tmp_path, worker)


class TestGuide:
    def test_the_commands_run_in_their_order(self, guide: dict[str, Section], reader: Reader) -> None:
        """
        Each call of the guide succeeds, with the output below it, and an allowed name gets its certificate.
        """
        (rules,) = guide["Names of customers"].settings
        with WebServer(always(403)) as platform:
            value = rules.partition("=")[2].strip().replace("127.0.0.1:3000", f"127.0.0.1:{platform.port}")
            reader.worker.environment["CERTWORKER_ASK_ALLOW"] = value
            with reader.worker:
                reader.worker.wait_for_line(" ready · ")
                reader.run(f"certworker request --wait {SHOP}")
                token, script = guide["Get a token"].commands
                reader.run(token)
                assert f"DNS:{SHOP}" in reader.run(script)
                for title in ("Names of customers", "kamal-proxy"):
                    (command,) = guide[title].commands
                    assert guide[title]["text output"] == [reader.run(command)]
                wait_until(lambda: reader.certificate(NEW), lambda: reader.worker.log)
                assert int(reader.run(guide["Traefik without the volume"].commands[0])) >= 2

    def test_haproxy_gets_new_names_without_a_reload(self, guide: dict[str, Section], reader: Reader) -> None:
        """
        HAProxy starts with the list of the script, and serves a new name that a job has issued.
        """
        section = guide["HAProxy"]
        reader.worker.environment["CERTWORKER_RELOAD"] = reader.local(
            section.settings[0].partition("=")[2].strip()
        )
        configuration = reader.local(section["haproxy"][0])
        group = subprocess.run(["id", "-gn"], capture_output=True, text=True, check=True).stdout.strip()
        text = configuration.replace("group certworker", f"group {group}").replace(":443", f":{reader.port}")
        timeouts = "".join(f"    timeout {kind} 5s\n" for kind in ("client", "server", "connect"))
        (reader.place / "haproxy.cfg").write_text(f"defaults\n{timeouts}{text}")
        command = [program("haproxy"), "-db", "-f", str(reader.place / "haproxy.cfg")]
        with reader.worker:
            reader.worker.wait_for_line(" ready · ")
            reader.run(f"certworker request --wait {SHOP}")
            reader.run(section.commands[0])
            with running(command, reader.place / "haproxy.log"):
                reader.wait_for(SHOP)
                reader.run("certworker request --wait blog.localhost")
                reader.wait_for("blog.localhost")
                reader.run(f"certworker request --wait --force {SHOP}")
                reader.wait_for(SHOP)

    def test_nginx_reloads_after_the_script_gets_a_new_certificate(
        self, guide: dict[str, Section], reader: Reader
    ) -> None:
        """
        The script gets each new certificate, and leaves nginx alone without a change.
        """
        section = guide["nginx without the volume"]
        (reader.place / "certificates").mkdir(exist_ok=True)
        server = Server(reader.place / "server")
        server.place.mkdir()
        reader.port = server.port
        site = reader.local(section["nginx"][0])
        # The configuration is in another place, and the first call starts the server.
        with reader.worker:
            reader.worker.wait_for_line(" ready · ")
            reader.run(f"certworker request --wait {SHOP}")
            reader.run(guide["Get a token"].commands[0])
            get = script(reader, section["sh script"][0], "true")
            get()
            with running(nginx_with(server, site), server.log) as process:
                reader.wait_for(SHOP)
                reader.run(f"certworker request --wait --force {SHOP}")
                get = script(reader, section["sh script"][0], f"kill -HUP {process.pid}")
                get()
                reader.wait_for(SHOP)
                # Without a change, nginx is not reloaded.
                get = script(reader, section["sh script"][0], "exit 1")
                get()
                with pytest.raises(subprocess.CalledProcessError):
                    get("unknown.localhost")

    def test_the_values_are_those_of_the_program(self, guide: dict[str, Section]) -> None:
        """
        The address and the limits of the guide are those of the program.
        """
        text = " ".join(GUIDE.read_text().split())

        assert str(load({}).web.address) == ADDRESS
        assert f"more than {MOST_NAMES:,} names" in text
        assert f"within {LONGEST_SECONDS} seconds" in text
        assert f"at most {NEW_REQUESTS[1]} names, and then for one each second" in text
        for setting in re.findall(r"^(CERTWORKER_\w+)=(\S+)$", GUIDE.read_text(), re.MULTILINE):
            load(dict([setting]))


def script(reader: Reader, text: str, reload: str) -> Callable[..., None]:
    """
    Write the script of the guide, and a stub of `nginx` that runs *reload*; return the function to run it.
    """
    stubs = reader.place / "stubs"
    stubs.mkdir(exist_ok=True)
    for path, content in (
        (stubs / "nginx", f"#!/bin/sh\n{reload}\n"),
        (reader.place / "get", reader.local(text)),
    ):
        path.write_text(content)
        path.chmod(0o755)

    def run(name: str = SHOP) -> None:
        environment = {"PATH": f"{stubs}:/usr/bin:/bin"}
        subprocess.run([reader.place / "get", name], env=environment, check=True)

    return run
