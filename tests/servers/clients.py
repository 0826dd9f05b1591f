"""
The ACME clients lego and certbot as processes. The development CA supports them, too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from certworker.certificates import Certificate, PrivateKey

MAIL = "someone@certworker.example"


@dataclass(frozen=True)
class Run:
    """
    The result of a run of a client.
    """

    code: int
    output: str
    fullchain: Path
    key: Path

    def installed(self) -> Certificate:
        """
        Return the certificate that the client stored, in certworker's type.
        """
        return Certificate.from_pem(self.fullchain.read_bytes(), PrivateKey.from_pem(self.key.read_bytes()))


def lego(
    directory_url: str,
    home: Path,
    webroot: Path,
    *names: str,
    options: tuple[str, ...] = (),
    command: str = "run",
) -> Run:
    """
    Run lego with *command* for *names*. The default command requests a certificate.
    """
    words = [_program("lego"), "--server", directory_url, "--accept-tos", "--email", MAIL]
    words += ["--path", str(home), "--http", "--http.webroot", str(webroot), *options]
    code, output = _run([*words, *(f"--domains={name}" for name in names), command])
    place = home / "certificates"
    return Run(code, output, place / f"{names[0]}.crt", place / f"{names[0]}.key")


def lego_dns(
    directory_url: str,
    home: Path,
    name: str,
    provider: str,
    variables: Mapping[str, str],
    resolver: tuple[str, int],
) -> Run:
    """
    Request a certificate for *name* with lego by DNS-01, through *provider* with its *variables*.

    lego does not wait until the name servers have the record.
    """
    words = [_program("lego"), "--server", directory_url, "--accept-tos", "--email", MAIL]
    words += ["--path", str(home), "--dns", provider, "--dns.resolvers", "{}:{}".format(*resolver)]
    words += ["--dns.disable-cp", f"--domains={name}", "run"]
    code, output = _run(words, {**os.environ, **variables})
    place = home / "certificates"
    file = name.replace("*", "_")
    return Run(code, output, place / f"{file}.crt", place / f"{file}.key")


def certbot(directory_url: str, home: Path, webroot: Path, *names: str, options: tuple[str, ...] = ()) -> Run:
    """
    Request a certificate for *names* with certbot.
    """
    command = [_program("certbot"), "certonly", "--server", directory_url, "--agree-tos", "--email", MAIL]
    command += ["--non-interactive", "--no-eff-email", "--webroot", "--webroot-path", str(webroot)]
    for option in ("config-dir", "work-dir", "logs-dir"):
        command += [f"--{option}", str(home / option)]
    code, output = _run([*command, *options, *(f"--domains={name}" for name in names)])
    place = home / "config-dir" / "live" / names[0]
    return Run(code, output, place / "fullchain.pem", place / "privkey.pem")


def _run(command: list[str], variables: Mapping[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60
    )
    return done.returncode, done.stdout


def _program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        raise RuntimeError(f"{name} is missing; install it: apt-get install {name}")
    return program
