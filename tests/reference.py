"""
The generated tables of docs/reference: commands, settings, metrics, and keys in Redis.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
from prometheus_client.parser import text_string_to_metric_families

from certworker.cli import cli
from certworker.errors.pages import markdown
from certworker.observability.metrics.families import FAMILIES, LABELS
from certworker.observability.metrics.registry import Metrics
from certworker.redis import keys
from certworker.variables import IN_A_FILE
from tests.test_structure import FLOORS

ROOT = Path(__file__).parent.parent
ENVIRONMENT = ROOT / ".env.example"

#: The default of each variable for which `.env.example` has another value.
DEFAULTS = {"CERTWORKER_AUTHORITY": "auto"}

#: The groups of settings, each with the prefixes of its variables.
GROUPS = {
    "Start": ("_APP_ENV", "_APP_DOMAIN=", "_APP_EMAIL_CERTIFICATES", "_APP_SYSTEM_SECURITY_EMAIL"),
    "Redis": ("_APP_REDIS_", "CERTWORKER_REDIS_"),
    "CA and certificates": (
        *("CERTWORKER_AUTHORITY", "CERTWORKER_CA_", "CERTWORKER_EAB_", "CERTWORKER_LIMITS_"),
        *("CERTWORKER_KEY_TYPE", "CERTWORKER_PROFILE", "CERTWORKER_PREFERRED_CHAIN"),
    ),
    "Directories": ("CERTWORKER_CERTIFICATES_DIR", "CERTWORKER_CONFIG_DIR", "CERTWORKER_STATE_DIR"),
    "HTTP and the proxy": (
        *("CERTWORKER_HTTP_ADDRESS", "CERTWORKER_METRICS_", "CERTWORKER_PROXY_ADDRESS"),
        "CERTWORKER_WEBROOT",
    ),
    "Page and API": ("CERTWORKER_WEB_", "CERTWORKER_TOKENS_"),
    "Preflight": ("_APP_DNS", "_APP_DOMAIN_TARGET", "CERTWORKER_PRIVATE_", "CERTWORKER_HTTP01_"),
    "DNS-01": (
        *("CERTWORKER_DNS01_", "_APP_DOMAIN_FUNCTIONS", "_APP_DOMAIN_SITES"),
        *("RFC2136_", "EXEC_PATH", "HTTPREQ_", "ACME_DNS_"),
    ),
    "Customers' domains": ("CERTWORKER_OWNERSHIP", "CERTWORKER_MOVED_CHECK", "CERTWORKER_ASK_ALLOW"),
    "Jobs and log": ("CERTWORKER_CONCURRENCY", "CERTWORKER_LOG", "CERTWORKER_DOCS_"),
    "Traces": ("OTEL_",),
    "Notifications": ("_APP_SMTP_", "_APP_SYSTEM_EMAIL_", "CERTWORKER_NOTIFY_"),
    "Appwrite": ("CERTWORKER_APPWRITE", "_APP_CERTIFICATES_QUEUE_NAME", "_APP_OPTIONS_"),
    "Docker Compose": ("_APP_HTTP_PORT", "_APP_HTTPS_PORT"),
    "Other servers": ("CERTWORKER_RELOAD", "CERTWORKER_DEPLOY_", "CERTWORKER_DOCKER_"),
    "Other": ("",),
}


def settings() -> str:
    """
    Return one table for each group of settings, with the texts of `.env.example`.

    A setting and its variable for a file share a row if they share their meaning.
    """
    tables: dict[str, list[str]] = {group: [] for group in GROUPS}
    found = list(variables())
    meanings = {name: meaning for name, _, meaning in found}
    for name, default, meaning in found:
        if meanings.get(name.removesuffix(IN_A_FILE)) == meaning and name.endswith(IN_A_FILE):
            continue
        in_file = name + IN_A_FILE
        names = f"`{name}`, `{in_file}`" if meanings.get(in_file) == meaning else f"`{name}`"
        shown = f"`{default}`" if default else "–"
        tables[_group(name)].append(f"| {names} | {shown} | {cell(meaning)} |")
    return "\n\n".join(
        "\n".join([f"### {group}", "", "| variable | default | meaning |", "|---|---|---|", *rows])
        for group, rows in tables.items()
        if rows
    )


def variables() -> Iterator[tuple[str, str, str]]:
    """
    Yield the name, the default and the meaning of each variable of `.env.example`.

    Consecutive variables share one meaning.
    """
    sentence: list[str] = []
    meaning = ""
    for line in ENVIRONMENT.read_text().splitlines():
        if variable := re.fullmatch(r"#? ?(\w+)=(.*)", line):
            meaning = " ".join(sentence) or meaning
            sentence = []
            default = variable[2] if line.startswith("#") else DEFAULTS.get(variable[1], "")
            yield variable[1], default, meaning
        elif line.startswith("# "):
            sentence.append(line.removeprefix("# "))
        else:
            sentence = []


def commands() -> str:
    """
    Return a section for each command: its help, its usage and its options.
    """
    root = click.Context(cli, info_name="certworker")
    return "\n\n".join(_below(cli, root, 2))


def redis_keys(removable: bool) -> str:
    """
    Return one row for each kind of key in Redis.
    """
    rows = ["| key | type | content |", "|---|---|---|"]
    rows += [
        f"| `{kind.pattern}` | {kind.type} | {kind.content} |"
        for kind in keys.KINDS
        if kind.removable is removable
    ]
    return "\n".join(rows)


def metrics() -> str:
    """
    Return one row for each metric.
    """
    rows = ["| metric | type | labels | workers | meaning |", "|---|---|---|---|---|"]
    rows += [
        f"| `{family.series}` | {family.type} | {', '.join(f'`{label}`' for label in family.labels)} | "
        f"{'own' if family.own else 'shared'} | {family.meaning} |"
        for family in FAMILIES
    ]
    return "\n".join(rows)


def labels() -> str:
    """
    Return one row for each label of a metric.
    """
    return "\n".join(
        [
            "| label | values |",
            "|---|---|",
            *(f"| `{label}` | {values} |" for label, values in LABELS.items()),
        ]
    )


def process_metrics() -> str:
    """
    Return one row for each metric of the process.
    """
    rows = ["| metric | type | meaning |", "|---|---|---|"]
    found = Metrics()
    found.watch_process()
    for family in text_string_to_metric_families(found.render().decode()):
        if not family.name.startswith("certworker_"):
            suffix = "_total" * (family.type == "counter" and family.samples[0].name.endswith("_total"))
            rows.append(f"| `{family.name}{suffix}` | {family.type} | {family.documentation.rstrip('.')}. |")
    return "\n".join(rows)


def packages() -> str:
    """
    Return one row for each package and each module of certworker, from the top floor to the lowest.
    """
    rows = ["| floor | package | what it does |", "|---|---|---|"]
    floors = [*enumerate(FLOORS), ("apart", {"devca"})]
    for floor, names in reversed(floors):
        rows += [f"| {floor} | {_linked(name)} | {cell(_first_sentence(name))} |" for name in sorted(names)]
    return "\n".join(rows)


def cell(text: str) -> str:
    """
    Return *text* for a table cell in Markdown.
    """
    return markdown(text.replace("<", "&lt;")).replace("|", "\\|")


def _source(name: str) -> Path:
    package = ROOT / "certworker" / name
    return package / "__init__.py" if package.is_dir() else package.with_suffix(".py")


def _linked(name: str) -> str:
    source = _source(name)
    shown = f"{name}/" if source.name == "__init__.py" else f"{name}.py"
    return f"[{shown}](../../{source.relative_to(ROOT)})"


def _first_sentence(name: str) -> str:
    docstring = ast.get_docstring(ast.parse(_source(name).read_text())) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def _group(name: str) -> str:
    return next(group for group, beginnings in GROUPS.items() if f"{name}=".startswith(beginnings))


def _below(group: click.Group, context: click.Context, depth: int) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            yield from _sections(command, click.Context(command, info_name=name, parent=context), depth)


def _sections(command: click.Command, context: click.Context, depth: int) -> Iterator[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    parts = [f"{'#' * depth} {context.command_path}", f"```text\n{usage}\n```"]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        title, _, lines = paragraph.removeprefix("\b\n").partition("\n")
        if paragraph.startswith("\b\n"):
            block = "\n".join(line.strip() for line in lines.splitlines())
            parts.append(f"{title}\n\n```sh\n{block}\n```")
        else:
            parts.append(markdown(" ".join(paragraph.split())))
    if rows := [_row(option) for option in command.params if isinstance(option, click.Option)]:
        parts.append("\n".join(["| option | meaning |", "|---|---|", *rows]))
    yield "\n\n".join(parts)
    if isinstance(command, click.Group):
        yield from _below(command, context, depth + 1)


def _row(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar or (option.name or '').upper()}"
    choices = f" One of: {', '.join(option.type.choices)}." if isinstance(option.type, click.Choice) else ""
    default = f" Default: {option.default}." if option.show_default else ""
    return f"| `{', '.join(option.opts)}{value}` | {cell(option.help or '')}{choices}{default} |"
