"""
The generated parts, the links and the examples of README.md and docs.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
import yaml

from certworker.cli import COMMANDS, cli
from tests import documentation, pictures
from tests.documentation import DOCS, README, ROOT, blocks, short
from tests.recording import steady
from tests.servers.redis import RedisServer
from tests.shell_examples import SIGN, Example, examples, run

#: The commands that a user runs before the example of a command.
BEFORE = {
    **dict.fromkeys(("revoke", "explain", "resume"), "certworker request --wait api.example.org\n"),
    "import": f"{SIGN}sign DNS:api.example.org fullchain.pem privkey.pem\n",
}

PAGES = documentation.pages()

#: The page of each generated part.
PLACES = {
    "session": "../README.md",
    "commands": "reference/cli.md",
    "settings": "reference/configuration.md",
    "packages": "internals/architecture.md",
    "metrics": "reference/metrics.md",
    "labels": "reference/metrics.md",
    "process metrics": "reference/metrics.md",
    "failures": "reference/errors/index.md",
    "retries": "concepts/renewal-and-retries.md",
    "calls": "reference/http.md",
    "keys": "reference/redis-keys.md",
    "foreign keys": "reference/redis-keys.md",
}


@cache
def anchors(page: Path) -> set[str]:
    """
    Return the anchors of the headings of *page*, as GitHub and MkDocs generate them.
    """
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    """
    Yield each relative link of *page* to a file or a heading that does not exist.
    """
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        found = (page.parent / target).resolve() if target else page
        # The anchor of a picture names the color scheme in which it is shown.
        heading = anchor if found.suffix == ".md" else ""
        if not found.exists() or (heading and heading not in anchors(found)):
            yield f"{target}#{anchor}" if anchor else target


class TestGeneratedParts:
    def test_they_match_the_code(self) -> None:
        """
        Each page has the parts that `make docs-generated` generates from the code.
        """
        written = {short(page): page.read_text() for page in PAGES}
        wrong = [page for page, text in written.items() if documentation.renewed(text) != text]

        assert not wrong, "run: make docs-generated\n" + "\n".join(wrong)

    @pytest.mark.parametrize("part", documentation.PARTS)
    def test_each_is_on_its_page(self, part: str) -> None:
        """
        The page of each part has its marker.
        """
        assert documentation.PARTS[part]() in (DOCS / PLACES[part]).read_text()

    def test_each_picture_matches_its_source(self) -> None:
        """
        Each picture is the one that `make docs-generated` draws from its text or recording.
        """
        written = {path: path.read_text() for path in pictures.IMAGES.glob("*.svg")}

        assert len(written) > 1
        assert pictures.drawn() == written, "run: make docs-generated"

    def test_each_failure_has_its_page(self) -> None:
        """
        Each failure has the page that `make docs-generated` generates.
        """
        written = {path: path.read_text() for path in documentation.ERRORS.glob("*.*.md")}

        assert documentation.error_pages() == written, "run: make docs-generated"

    def test_the_document_of_the_api_is_the_present_one(self) -> None:
        """
        The OpenAPI document is the one that `make docs-generated` generates.
        """
        written = documentation.API_DOCUMENT.read_text()

        assert documentation.api_document() == written, "run: make docs-generated"

    def test_each_command_is_in_the_reference(self) -> None:
        """
        The reference lists each command of the program.
        """
        text = (DOCS / "reference" / "cli.md").read_text()

        assert [] == [name for name in COMMANDS if f"| `certworker {name}" not in text]


class TestLinks:
    def test_each_link_leads_to_a_file_and_a_heading(self) -> None:
        """
        Each relative link leads to an existing file and to an existing heading.
        """
        wrong = [f"{short(page)}: {link}" for page in PAGES if page != README for link in broken_links(page)]

        assert not wrong, "\n".join(wrong)

    def test_an_index_lists_each_page(self) -> None:
        """
        docs/index.md or the index of the directory links to each page.
        """
        listed = {
            (index.parent / target).resolve()
            for index in DOCS.rglob("index.md")
            for target in re.findall(r"\]\(([^)#]+\.md)\)", index.read_text())
        }

        assert set(PAGES) - {README, DOCS / "index.md"} == listed & set(PAGES)

    def test_the_site_has_each_page_of_the_index(self) -> None:
        """
        The navigation of mkdocs.yml has the same pages as docs/index.md.
        """
        navigation = str(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
        listed = re.findall(r"\]\(([^)#]+\.md)\)", (DOCS / "index.md").read_text())

        assert {"index.md", *listed} == set(re.findall(r"[\w./-]+\.md", navigation))


class TestWhereToChangeWhat:
    PAGE = DOCS / "internals" / "architecture.md"

    def test_each_path_exists(self) -> None:
        """
        Each row of the table names at least one path below certworker/, and each path exists.
        """
        table = (
            self.PAGE.read_text().partition("| To change … | open … |\n|---|---|\n")[2].partition("\n\n")[0]
        )
        rows = [re.findall(r"`([^`]+)`", row.rsplit(" | ", 1)[1]) for row in table.splitlines()]

        assert len(rows) > 15
        assert all(rows)
        assert [] == [path for row in rows for path in row if not (ROOT / "certworker" / path).exists()]


class TestPython:
    @pytest.mark.parametrize(("page", "block"), blocks("python"))
    def test_examples_are_python_that_imports_what_exists(self, page: str, block: str) -> None:
        """
        Each example compiles, and its imports exist.
        """
        imports = [line for line in block.splitlines() if line.startswith(("from ", "import "))]

        ast.parse(block)
        exec("\n".join(imports), {})  # noqa: S102 (the documentation of this repository)


class TestCommands:
    def test_no_block_starts_services_with_the_values_of_the_example(self) -> None:
        """
        No block both copies `.env.example` and starts services, because a reader edits `.env` in between.
        """
        wrong = [
            f"{short(page)}: {block}"
            for page in PAGES
            for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
            if "cp .env.example" in block and " up -d" in block
        ]

        assert not wrong, "\n".join(wrong)

    def test_the_pages_have_commands_that_run(self) -> None:
        """
        The README and the guides have commands that a test runs.
        """
        pages = {short(example.page) for example in examples()}

        assert pages >= {
            "README.md",
            "docs/guides/bulk-issuance.md",
            "docs/guides/key-compromise.md",
            "docs/guides/monitoring.md",
            "docs/guides/own-certificates.md",
            "docs/guides/request-certificates.md",
            "docs/guides/troubleshooting.md",
            "docs/reference/cli.md",
        }

    @pytest.mark.parametrize("example", examples(), ids=str)
    def test_each_block_with_the_marker_run_runs(
        self, example: Example, tmp_path: Path, redis_server: RedisServer
    ) -> None:
        """
        Each block runs without changes beside a worker, and prints the output on the page.
        """
        printed = run(example.script, tmp_path, redis_server)

        assert steady(example.output) <= steady(printed), "run: make docs-recording"

    def test_each_command_of_certworker_has_this_syntax(self) -> None:
        """
        Each command on a page has a valid name and valid options, even if no test runs it.
        """
        wrong = [
            f"{short(page)}: {line}"
            for page in PAGES
            for line in commands_of_certworker(page)
            if not has_the_syntax(line)
        ]

        assert not wrong, "\n".join(wrong)

    @pytest.mark.parametrize(
        "name", [name for name in COMMANDS if name not in ("work", "mirror", "demo", "dns", "web")]
    )
    def test_the_example_in_each_help_runs(
        self, name: str, tmp_path: Path, redis_server: RedisServer
    ) -> None:
        """
        The example in the help of each command runs. Other tests run those of `work`, `mirror`, `demo`, `dns`
        and `web`.
        """
        example = (BEFORE.get(name, "") + example_of(name)).replace("api.example.org", "api.localhost")
        run(example, tmp_path, redis_server)

    def test_each_help_has_one_example(self) -> None:
        """
        The help of every command has an example.
        """
        assert [] == [name for name in COMMANDS if "certworker" not in example_of(name)]


def commands_of_certworker(page: Path) -> list[str]:
    """
    Return the command lines of certworker in *page*, in blocks and in sentences.
    """
    text = page.read_text()
    fences = re.findall(r"^```(\w*).*?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    shell = [block for language, block in fences if language == "sh"]
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = re.findall(r"^ {4}(.*)$", prose, re.MULTILINE)
    lines = "\n".join(shell + indented).splitlines()
    commands = [re.match(r"(?:.* exec (?:-\S+ )*\S+ |\s*)\b(certworker [a-z-].*)", line) for line in lines]
    return [found[1] for found in commands if found] + re.findall(r"`(certworker [a-z-][^`|…\[]*)`", prose)


def has_the_syntax(line: str) -> bool:
    """
    Report whether the command line *line* of certworker has a valid name and valid options.
    """
    _, name, *words = shlex.split(line, comments=True)
    command = cli.get_command(click.Context(cli), name)
    if command is None and name not in ("--help", "--version"):
        return False
    while isinstance(command, click.Group) and words:
        command = command.get_command(click.Context(command), words[0]) or command
        words = words[1:]
    known = {option for param in command.params for option in param.opts} if command else set()
    return {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def example_of(name: str) -> str:
    """
    Return the example in the help of the command *name*.
    """
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help is not None
    return command.help.partition("Example:\n")[2].strip().splitlines()[0]
