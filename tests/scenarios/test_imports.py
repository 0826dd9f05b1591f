"""
Scenarios of certificates that an operator imports.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from certworker.app import App
from certworker.errors import CertworkerError
from certworker.issuance.importing import CertificateImport
from certworker.own_certificates import Pem
from certworker.runtime import build_tasks
from certworker.storage.certificate_store import CertificateStore
from certworker.worker.producer import request_certificate
from tests.certificate_builder import INTERMEDIATE, NOW, ROOT, Wanted, encrypted, key_pem, new_key, rsa_key
from tests.scenarios.installation import NAME, Installation
from tests.scenarios.scenario import DAY, Scenario, attempt, check_scenario, each_scenario
from tests.storage.authority import Signer

OTHER = f"www.{NAME}"
#: The user `nobody`.
NOBODY = 65534


def importing(
    wanted: Wanted, *, key: bytes = b"", chain: bytes = INTERMEDIATE.pem, certificate: bytes = b""
) -> Callable[[Installation], object]:
    """
    Return a step that runs `certworker import`.

    Args:
        wanted: The certificate and its key.
        key: The content of the file of the key, if it is another one.
        chain: The certificates after the certificate.
        certificate: The content of the file of the certificate, if it is another one.
    """

    def build(installation: Installation) -> None:
        wanted.issuer = INTERMEDIATE
        signed = wanted.sign()
        contents = {"cert.pem": certificate or signed.pem + chain, "key.pem": key or key_pem(signed.key)}
        paths = [installation.directory / file for file in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            path.write_bytes(content)
        installation.command = ("import", NAME, "--cert", str(paths[0]), "--key", str(paths[1]))

    return build


def over_an_issued_certificate(installation: Installation) -> None:
    """
    Import a certificate for a name with the certificate of another CA.
    """
    importing(Wanted([NAME]))(installation)
    store = CertificateStore(Path(installation.environ()["CERTWORKER_CERTIFICATES_DIR"]))
    store.store(Signer("E7").certificate(NAME), authority="letsencrypt", kind="public", token=1)


def as_another_user(installation: Installation) -> None:
    """
    Import a certificate into the volume of another user.
    """
    importing(Wanted([NAME]))(installation)
    if os.geteuid() == 0:
        os.chown(installation.environ()["CERTWORKER_CERTIFICATES_DIR"], NOBODY, NOBODY)
    else:
        installation.settings["CERTWORKER_CERTIFICATES_DIR"] = "/usr/share"


def imported(app: App, left: float = 80) -> None:
    """
    Import a certificate with this number of days *left*, and run its job.
    """
    signed = Wanted([NAME], issuer=INTERMEDIATE, starts=NOW + (left - 90) * DAY, ends=NOW + left * DAY).sign()
    request = partial(request_certificate, connection=app.connection)
    pem = Pem(signed.pem, key_pem(signed.key), signed.chain)
    CertificateImport(app.certificates, app.locks, request, app.clock).run(NAME, pem, by="test")
    attempt(NAME)(app)


def without_key(app: App) -> None:
    """
    Remove the key of the certificate in service.
    """
    stored = app.certificates.current(NAME)
    assert stored
    (stored.directory / "privkey.pem").unlink()


def requested_together(app: App) -> None:
    """
    Run a job for one certificate for the name and another one.
    """
    with suppress(CertworkerError):
        build_tasks(app)["certworker.issue"](domains=[OTHER, NAME])


def after(*steps: Callable[[App], object]) -> Callable[[Installation], object]:
    """
    Return a step that runs *steps* in the app before the job.
    """
    return lambda installation: installation.before.extend(steps)


refused = partial(Scenario, shows="command")

SCENARIOS = [
    refused(
        "an import of a signing request",
        "import.unreadable",
        importing(Wanted([NAME]), certificate=b"-----BEGIN CERTIFICATE REQUEST-----"),
        "openssl pkcs12 -in FILE -nodes -out combined.pem",
    ),
    refused(
        "an import with an encrypted key",
        "import.encrypted_key",
        importing(Wanted([NAME]), key=encrypted(new_key())),
        "openssl pkey -in FILE -out decrypted.pem",
    ),
    refused(
        "an import with the key of another certificate",
        "import.key_mismatch",
        importing(Wanted([NAME]), key=key_pem(new_key())),
        "openssl x509 -noout -pubkey -in CERTIFICATE; openssl pkey -pubout -in KEY",
    ),
    refused(
        "an import of the certificate of a CA",
        "import.not_for_servers",
        importing(Wanted([NAME], ca=True)),
        "without CA:TRUE",
    ),
    refused(
        "an import of the certificate of another name",
        "import.wrong_names",
        importing(Wanted([OTHER])),
        f"get a certificate for {NAME}",
    ),
    refused(
        "an import of a certificate that has expired",
        "import.expired",
        importing(Wanted([NAME], ends=NOW - DAY)),
        "Pass a certificate that is valid now",
    ),
    refused(
        "an import of a certificate that is not valid yet",
        "import.not_yet_valid",
        importing(Wanted([NAME], starts=NOW + DAY)),
        "timedatectl set-ntp true",
    ),
    refused(
        "an import with the chain of another certificate",
        "import.chain",
        importing(Wanted([NAME]), chain=ROOT.pem),
        "--chain FILE",
    ),
    refused(
        "an import of a certificate with a short key",
        "import.weak_key",
        importing(Wanted([NAME], key=rsa_key(1024))),
        "an RSA key of 2048 to 8192 bits",
    ),
    refused(
        "an import for a name whose certificate certworker renews",
        "import.replaces_issued",
        over_an_issued_certificate,
        "--force",
    ),
    refused(
        "an import by a user other than that of the worker",
        "import.wrong_user",
        as_another_user,
        "docker compose exec -u",
    ),
    Scenario(
        "a request for an imported name together with another name",
        "import.in_service",
        after(imported),
        f"certworker request --force {NAME}",
        shows="loop",
        act=requested_together,
    ),
    Scenario(
        "an imported certificate without its key on the volume",
        "import.damaged",
        after(imported, without_key),
        f"certworker import {NAME} --cert FILE --key FILE",
        retry_after=DAY,
    ),
    Scenario(
        "an imported certificate that expires in ten days",
        "import.ends",
        after(partial(imported, left=10)),
        f"certworker import {NAME} --cert FILE --key FILE",
        shows="loop",
    ),
]


@each_scenario(SCENARIOS)
def test_scenario(scenario: Scenario, installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """
    The import is refused, or certworker reports what its operator has to do. Nothing is ordered.
    """
    check_scenario(scenario, installation, caplog)
