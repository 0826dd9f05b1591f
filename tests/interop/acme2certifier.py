"""
acme2certifier, a CA in Python, with a root on disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.interop.authorities import ForeignAuthority, interpreter_of

#: A server for acme2certifier, whose own server listens only at port 80 of all addresses. acme2certifier has
#: no setting for the port of a name server or for SQLite. Without WAL mode, a reader that needs five seconds
#: makes a commit fail, and the database stays locked for a minute, so each nonce is bad. Without autocommit
#: (isolation_level None), a statement that fails leaves the database locked, so the server responds to no
#: further request in time. The time of a deactivation, in seconds, is in a unique column, so a second
#: deactivation within the same second fails.
SERVER = """
import sqlite3
import sys
import time
from itertools import count
import dns.resolver
from acme2certifier.acme_srv import account
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server
from acme2certifier.share.acme2certifier_wsgi import application, get_handler_cls

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

class Resolver(dns.resolver.Resolver):
    def reset(self):
        super().reset()
        self.port = int(sys.argv[2])

def connect(file, connect=sqlite3.connect):
    connection = connect(file, timeout=60, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")
    return connection

dns.resolver.Resolver = Resolver
account.uts_now = count(int(time.time())).__next__
sqlite3.connect = connect
make_server("127.0.0.1", int(sys.argv[1]), application, Server, get_handler_cls()).serve_forever()
"""

CONFIG = """
[DEFAULT]
dns_server_list: ["127.0.0.1"]

[CAhandler]
handler_module: acme2certifier.cahandlers.openssl_ca_handler
issuing_ca_key: {key}
issuing_ca_cert: {intermediate}
issuing_ca_crl: {crl}
ca_cert_chain_list: {chain}
cert_validity_days: 30
cert_save_path: {certificates}

[Certificate]
enrollment_timeout: 60

[DBhandler]
handler: wsgi
dbfile: {database}
"""


class Acme2certifier(ForeignAuthority):
    """
    An acme2certifier with its handler for a CA in files. It fetches responses through the relay.
    """

    title = "acme2certifier"
    #: Its SQLite store does not store the reason.
    tells_why = False
    changes_keys = True
    takes_the_key_of_a_certificate = False

    @property
    def directory_url(self) -> str:
        """
        The URL of the ACME directory.
        """
        return f"http://127.0.0.1:{self.port}/directory"

    def command(self) -> list[str | Path]:
        """
        Write the configuration and return the command.
        """
        root, intermediate, key = self.hierarchy()
        certificates = self.directory / "certificates"
        certificates.mkdir(exist_ok=True)
        (self.directory / "acme_srv.cfg").write_text(
            CONFIG.format(
                key=key,
                intermediate=intermediate,
                crl=self.directory / "crl.pem",
                chain=json.dumps([str(root)]),
                certificates=certificates,
                database=self.directory / "acme_srv.db",
            )
        )
        return [
            interpreter_of("acme2certifier"),
            "-c",
            SERVER,
            str(self.port),
            self.names.address.rpartition(":")[2],
        ]

    def environment(self) -> Mapping[str, str]:
        """
        Return the variables that name its configuration and the relay.
        """
        config = str(self.directory / "acme_srv.cfg")
        return {**super().environment(), "ACME_SRV_CONFIGFILE": config, "http_proxy": self.relay.url}
