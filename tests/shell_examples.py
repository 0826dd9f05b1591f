"""
The shell commands of the documentation that tests run: each block `sh run`, with the output below it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.app_fixture import environment
from tests.documentation import WITH_A_TEST_OF_ITS_OWN, pages, short
from tests.servers.development import development_authority
from tests.servers.faulty_authority import FaultyAuthority
from tests.servers.mail import MailReceiver
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.servers.worker import WorkerProcess

#: Makes a certificate: the arguments are its names for OpenSSL, its file and the file of its key.
SIGN = """sign() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 90 -subj /CN=site \\
        -addext subjectAltName="$1" -addext basicConstraints=CA:FALSE -keyout key.tmp -out "$2"
    cat key.tmp >> "$3"
}
"""

#: The commands that a reader runs before the commands of a page.
BEFORE = {
    "docs/guides/own-certificates.md": SIGN
    + """sign DNS:shop.example.com fullchain.pem privkey.pem
sign DNS:main.localhost main.pem main.pem
sign DNS:example.com,DNS:*.example.com origin.pem origin.key
certworker request --wait main.localhost
""",
    "docs/guides/key-compromise.md": "certworker request --wait shop.localhost\n",
    "docs/guides/monitoring.md": "certworker request --wait shop.localhost\n",
}

#: Commands and their output. Only sentences may be between the two, not another block or a heading.
BLOCK = re.compile(
    r"^```sh run\n(?P<commands>.*?)^```\n(?:(?:(?!```|#)[^\n]*\n)*?```text output\n(?P<output>.*?)^```$)?",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Example:
    """
    Commands of a page.

    Attributes:
        before: The commands that a reader runs before this example.
        output: The output on the page. It is empty if the page shows no output.
        place: The start and the end of the output in the text of the page.
    """

    page: Path
    before: str
    commands: str
    output: str
    place: tuple[int, int]

    @property
    def script(self) -> str:
        """
        The commands of this example, after those of `before`.
        """
        return f"{{\n{self.before}}} >/dev/null 2>&1\n{self.commands}" if self.before else self.commands

    def __str__(self) -> str:
        return f"{short(self.page)}: {self.commands.splitlines()[0]}"


def examples() -> list[Example]:
    """
    Return the examples of each page.
    """
    return [
        Example(
            page, BEFORE.get(short(page), ""), found["commands"], found["output"] or "", found.span("output")
        )
        for page in pages()
        if page != WITH_A_TEST_OF_ITS_OWN
        for found in BLOCK.finditer(page.read_text())
    ]


def run(block: str, place: Path, server: RedisServer) -> str:
    """
    Run the shell commands in *block* beside a worker with a development CA. Return their output.
    """
    (place / "home").mkdir()
    http_port = free_port()
    with (
        server.client() as connection,
        development_authority(place, http01_port=http_port) as authority,
        MailReceiver() as mail,
    ):
        connection.flushall()
        mailing = {
            "_APP_EMAIL_CERTIFICATES": "ops@shop.dev",
            "_APP_SMTP_HOST": "127.0.0.1",
            "_APP_SMTP_PORT": str(mail.port),
        }
        with WorkerProcess(variables(place, server, authority, http_port) | mailing, place / "log") as worker:
            worker.wait_for_line("main.localhost: ")
            printed = run_shell(block, place / "home", worker.environment)
    # A page shows the directories of a real installation.
    return printed.replace(str(place), "/storage")


def run_shell(block: str, directory: Path, environment: Mapping[str, str], exit_code: int = 0) -> str:
    """
    Run the shell commands in *block*, up to the first command that fails. Return their output.
    """
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    ended = subprocess.run(
        ["sh", "-e", "-c", block],
        cwd=directory,
        env={**environment, "PATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    printed = ended.stdout + ended.stderr
    assert exit_code == ended.returncode, printed
    return printed


def variables(place: Path, server: RedisServer, authority: FaultyAuthority, http_port: int) -> dict[str, str]:
    """
    Return the environment variables of the worker.
    """
    return environment(
        place,
        authority.directory_url,
        http_port,
        _APP_REDIS_HOST="127.0.0.1",
        _APP_REDIS_PORT=str(server.port),
        _APP_DOMAIN="main.localhost",
    )
