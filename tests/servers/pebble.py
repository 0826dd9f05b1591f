"""
Pebble, the test CA of Let's Encrypt, which the test run starts and stops.

Pebble deadlocks with 16 pending orders, so the tests limit them to 4. Debian's 2.4 and current releases work.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.servers.nameserver import NameServer
from tests.servers.ports import free_port

INSTALL = (
    "pebble is missing; install it: apt-get install pebble, "
    "or: go install github.com/letsencrypt/pebble/v2/cmd/pebble@latest, or set PEBBLE=/path/to/pebble"
)


def programs() -> list[str]:
    """
    Return the Pebbles of this machine in order of preference: only $PEBBLE, or Go's, PATH's and Debian's.

    Raises:
        RuntimeError: There is none. The message has the command that installs one.
    """
    if chosen := os.environ.get("PEBBLE"):
        candidates = [shutil.which(chosen)]
    else:
        candidates = [_built_by_go(), shutil.which("pebble"), shutil.which("/usr/bin/pebble")]
    found = list(dict.fromkeys(candidate for candidate in candidates if candidate))
    if not found:
        raise RuntimeError(INSTALL)
    return found


class Pebble:
    """
    A Pebble process with its own name server, for which each name is at 127.0.0.1.

    Args:
        resolver: Another name server, as HOST:PORT.

    Attributes:
        http_port: The port from which it fetches the responses to HTTP-01 challenges.
        ca_bundle: The root of its own TLS certificate. The certificates that it issues have another root.
        log: The file with its output.
    """

    def __init__(self, directory: Path, program: str | None = None, *, resolver: str = "") -> None:
        self._program = program or programs()[0]
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._names = None if resolver else NameServer()
        self._resolver = resolver
        self._port = free_port()
        self._management_port = free_port()
        self.http_port = free_port()
        self.ca_bundle = directory / "root.pem"
        self.log = directory / "pebble.log"

    @property
    def directory_url(self) -> str:
        """
        The URL of the ACME directory.
        """
        return f"https://127.0.0.1:{self._port}/dir"

    @property
    def resolver(self) -> str:
        """
        The name server that Pebble queries, as HOST:PORT.
        """
        return self._names.address if self._names else self._resolver

    def start(self, *, external_accounts: dict[str, str] | None = None, **options: str) -> None:
        """
        Start Pebble, and wait until it answers.

        A new account needs a binding to one of *external_accounts* (key id to HMAC key, in base64url).
        *options* are environment variables: PEBBLE_WFE_NONCEREJECT="20" rejects one fifth of the nonces.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        certificate, key = make_tls(self._directory, "pebble")
        config = self._directory / "pebble.json"
        config.write_text(
            json.dumps(
                {
                    "pebble": {
                        "listenAddress": f"127.0.0.1:{self._port}",
                        "managementListenAddress": f"127.0.0.1:{self._management_port}",
                        "certificate": str(certificate),
                        "privateKey": str(key),
                        "httpPort": self.http_port,
                        "tlsPort": free_port(),
                        "ocspResponderURL": "",
                        "externalAccountBindingRequired": external_accounts is not None,
                        "externalAccountMACKeys": external_accounts or {},
                        "profiles": {"default": {"description": "The only one", "validityPeriod": 7776000}},
                    }
                }
            )
        )
        environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-config", str(config), "-dnsserver", self.resolver],
                env=os.environ | environment | options,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait()

    def stop(self) -> None:
        """
        Stop Pebble, which loses all accounts and orders.
        """
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """
        Stop Pebble and its name server.
        """
        self.stop()
        if self._names:
            self._names.stop()

    def requests(self) -> list[str]:
        """
        Return the requests in their order, as METHOD PATH without the id.
        """
        handled = [
            line.split(" -> calling handler()")[0].split(" ")[-2:]
            for line in self.log.read_text().splitlines()
            if " -> calling handler()" in line
        ]
        return [f"{method} {path}" for method, path in handled]

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                requests.get(self.directory_url, verify=str(self.ca_bundle), timeout=5)
            except requests.ConnectionError as error:
                if time.monotonic() > deadline or (self._process and self._process.poll() is not None):
                    log = self.log.read_text(errors="replace")[-4000:]
                    raise RuntimeError(f"{self._program} does not answer:\n{log}") from error
                time.sleep(0.02)
            else:
                return


def make_tls(directory: Path, host: str, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """
    Write a root and a certificate for *host* and *address* to *directory*.

    Returns:
        The paths of the certificate and of its key.
    """
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _signed("Pebble's TLS root", root_key, "Pebble's TLS root", root_key, address=None)
    leaf = _signed(host, key, "Pebble's TLS root", root_key, address=address)
    (directory / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (directory / "tls.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
    (directory / "tls.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    return directory / "tls.pem", directory / "tls.key"


def _built_by_go() -> str | None:
    go = shutil.which("go")
    if go is None:
        return None
    asked = subprocess.run([go, "env", "GOPATH"], capture_output=True, text=True, check=True)
    return shutil.which(str(Path(asked.stdout.strip()) / "bin" / "pebble"))


def _signed(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    address: str | None,
) -> x509.Certificate:
    is_authority = address is None
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=7))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=is_authority,
                crl_sign=is_authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if address:
        names = x509.SubjectAlternativeName([x509.DNSName(subject), x509.IPAddress(ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
