"""
The page of each failure: message, cause, how to check, remedy, and when certworker retries.

The documentation and the terminal show the same page. The files in `explanations` contain causes and checks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from textwrap import fill

from certworker.errors.failure import (
    COMMAND,
    CertworkerError,
    PreflightFailure,
    Retry,
    ValidationFailure,
    catalog,
    variants,
)

#: When certworker retries after a failure of each kind. A test compares the pauses with the retry policy.
RETRIES = {
    Retry.NEVER: "certworker does not try again. Send a correct request.",
    Retry.CONFIG: "certworker retries daily, and when it starts with other settings.",
    Retry.PREFLIGHT: "certworker retries after 1, 5, 10 and 30 minutes, then hourly for a day, then daily.",
    Retry.CA: "certworker retries after 1, 10 and 100 minutes, then daily.",
    Retry.UNTIL: (
        "certworker retries when the limit resets, but after a day at the latest. If that time is unknown, "
        "certworker retries after an hour."
    ),
    Retry.SOON: (
        "certworker retries after 10 and 30 seconds, then after 1, 5, 10 and 100 minutes, then daily."
    ),
}

AT_EACH_START = "The worker checks it at each start, and the doctor at each run."
ONLY_A_WARNING = "This is only a warning. certworker orders anyway."
ONLY_IN_THE_DOCTOR = "Only the doctor checks it."
BY_THE_DOCTOR_AND_THE_PAGE = "The doctor and the page of the worker show it."
OF_A_DAMAGE = "The next job for the name orders a replacement."
OF_A_COMMAND = "certworker does not retry. Run the command again."
OF_AN_IMPORT = "certworker does not retry. Import a correct certificate."
OF_REDIS = "certworker tries Redis again after growing pauses of at most a minute."
OF_RELOADS = "certworker retries every minute."
OF_THE_DEPLOYMENT_CHECK = "certworker checks the proxy again every 5 minutes."

#: When certworker retries after failures that do not follow the retry policy, by code.
RETRIES_BY_CODE = {
    "acct.key_unreadable": "certworker retries daily, and at each start.",
    "acct.no_key_change": OF_A_COMMAND,
    "acme.not_revoked": OF_A_COMMAND,
    "caa.syntax": ONLY_A_WARNING,
    "dns01.rate_limited": (
        "certworker retries when the limit resets, but after a day at the latest. If the provider does not "
        "state that time, certworker retries after 5 minutes."
    ),
    "clock.skew": (
        f"{RETRIES[Retry.PREFLIGHT]} It also retries at each start, and when the clock is correct again."
    ),
    "config.domain_localhost": "certworker does not retry. It reads `_APP_DOMAIN` again at its next start.",
    "config.http_address": (
        "certworker stops, and tries the address again at its next start. If only the default address of the "
        "page is not usable, the worker runs without the page."
    ),
    "config.invalid": "certworker stops, and reads the values again at its next start.",
    "dns.cname_target": ONLY_A_WARNING,
    "dns.moved": (
        "certworker checks daily, and when it starts with other settings, whether the name points to this "
        "server again."
    ),
    "dns.propagation": ONLY_A_WARNING,
    "dns.split_horizon": ONLY_A_WARNING,
    "dns.target_invalid": "certworker ignores the value until its next start.",
    "dns01.hides_wildcard": "certworker validates the name anyway.",
    "dns01.left_behind": "certworker retries after growing pauses of at most 6 hours.",
    "fs.corrupt": OF_A_DAMAGE,
    "fs.fenced": f"Usually, the other worker has planned the next check. Otherwise, {RETRIES[Retry.SOON]}",
    "fs.not_persistent": AT_EACH_START,
    "fs.partial": OF_A_DAMAGE,
    "fs.readonly": (
        "If the worker finds this at its start, it exits with code 2. If it occurs later, certworker retries "
        "each name daily, and at each start."
    ),
    "hook.failed": f"{RETRIES[Retry.SOON]} The retries end when the worker stops.",
    "http.hairpin": ONLY_A_WARNING,
    "import.ends": "certworker reports it again as the expiry approaches, and daily after the expiry.",
    "import.in_service": "certworker neither retries the request nor replaces the imported certificate.",
    "import.not_yet_valid": (
        "certworker does not retry. Import the certificate again after the time in the message."
    ),
    "import.replaces_issued": OF_A_COMMAND,
    "import.wrong_user": OF_A_COMMAND,
    "label.refused": "certworker retries after growing pauses of at most a minute.",
    "label.unusable": (
        "certworker reads the label again when the container starts, and `certworker.reload` before each "
        "reload."
    ),
    "lock.held": (
        "The other job plans the next check of the name. If its worker crashes, certworker checks the name "
        "when the lease of that job expires. A forced request waits up to ten minutes for that job. If the "
        "job takes longer, the next check places the order. An import or a removal is not retried. "
        "certworker reports another worker on Appwrite's queue only once after each start."
    ),
    "notice.undelivered": "certworker retries every 30 seconds.",
    "proxy.default_cert": OF_THE_DEPLOYMENT_CHECK,
    "proxy.many_certificates": "certworker reports it once a day.",
    "proxy.old_cert": OF_THE_DEPLOYMENT_CHECK,
    "proxy.other_terminator": ONLY_IN_THE_DOCTOR,
    "proxy.unreachable": OF_THE_DEPLOYMENT_CHECK,
    "proxy.yaml_broken": "`certworker doctor` reports the file until it is valid.",
    "queue.abandoned": "certworker does not run this job again.",
    "queue.unserved": AT_EACH_START,
    "rate.paused": (
        "certworker retries immediately after `certworker resume`. Without this command, it places an order "
        "again after 7 days."
    ),
    "redis.auth": OF_REDIS,
    "redis.cluster": OF_REDIS,
    "redis.command": (
        f"If each worker needs the command, {OF_REDIS} Otherwise, the job that needs it is repeated: "
        f"{RETRIES[Retry.SOON]}"
    ),
    "redis.evict": AT_EACH_START,
    "redis.missing": "The demo stops.",
    "redis.oom": OF_REDIS,
    "redis.readonly": OF_REDIS,
    "redis.tls": OF_REDIS,
    "redis.too_old": "certworker stops, and checks the version again at its next start.",
    "redis.unreachable": OF_REDIS,
    "reload.engine": (
        "certworker retries a reload every minute. It tries to read the labels again after growing pauses of "
        "at most a minute."
    ),
    "reload.failed": OF_RELOADS,
    "reload.haproxy": OF_RELOADS,
    "reload.refused": OF_RELOADS,
    "replication.damaged": "certworker skips the bundle.",
    "replication.newer_version": "certworker skips the bundle.",
    "replication.node_away": BY_THE_DOCTOR_AND_THE_PAGE,
    "replication.node_behind": f"{BY_THE_DOCTOR_AND_THE_PAGE} The host compares its names every hour.",
    "replication.too_large": "certworker skips the bundle.",
    "replication.versions_differ": BY_THE_DOCTOR_AND_THE_PAGE,
    "replication.wrong_key": "certworker skips the bundle.",
    "renew.overdue": (
        "Before the expiry, certworker retries about every 4 hours, and more often as the expiry approaches. "
        "Only a rate limit can require a longer pause."
    ),
    "state.schema_too_new": (
        "If the state in Redis is newer, certworker stops. If only the metadata of a certificate is newer, "
        "certworker retries the names of that certificate daily, and at each start."
    ),
    "worker.crashed": "certworker retries at the time in the message, within a day.",
    "worker.stalled": "certworker logs when the loop is making progress again.",
}

#: The explanation of the placeholder in commands of Docker Compose. The name depends on the Compose file.
OF_SERVICE = (
    "SERVICE is the service of the worker: `appwrite-worker-certificates` in `docker-compose.yml`, "
    "`certworker` in `docker-compose.standalone.yml`. `docs/guides/troubleshooting.md` has the commands for "
    "systemd, Swarm and Kubernetes."
)

#: Variables and options, which Markdown might render as emphasis, and URLs of Redis, which are not web pages.
LITERAL = re.compile(
    r"(?<![\w`])(?:_?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|--[a-z](?:[\w.-]*\w)?)(?:=[^\s,;)]*[^\s,;).])?"
    r"|\bredis\S*://[^\s;]*[^\s;,.]"
)
LINK = re.compile(r"https?://[^\s;,]*[^\s;,.]")

#: The placeholders for values whose names differ from the terms in the documentation.
WORDS = {
    "authority": "CA",
    "hint": "; did you mean NAME?",
    "kind": "TYPE",
    "moment": "TIME",
    "ours": "ACCOUNT",
    "wish": "REQUEST",
}

WIDTH = 100


@dataclass(frozen=True)
class Explanation:
    """
    The explanation of a failure, in addition to its message and remedy.

    Attributes:
        cause: The cause of the failure, as Markdown.
        check: How to verify the cause, as Markdown. Commands are indented by four spaces.
    """

    cause: str
    check: str


@cache
def explanations() -> dict[str, Explanation]:
    """
    Return the explanations by code.
    """
    sources = files("certworker.errors").joinpath("explanations").iterdir()
    text = "\n".join(source.read_text("utf-8") for source in sources if source.name.endswith(".md"))
    sections = re.findall(r"^## (\S+)\n(.*?)^### Check\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return {code: Explanation(cause.strip(), check.strip("\n")) for code, cause, check in sections}


@cache
def codes() -> frozenset[str]:
    """
    Return the codes of all failures.
    """
    return frozenset(failure.code for failure in catalog())


def reference_of(code: str, docs_url: str | None) -> str:
    """
    Return the URL of the page of the failure with *code*, or the command that prints the page.

    Return an empty string if no failure has this code.

    Args:
        docs_url: The URL of the documentation; None to return the command.
    """
    if code not in codes():
        return ""
    return f"{docs_url.rstrip('/')}/reference/errors/{code}/" if docs_url else f"certworker explain {code}"


def page_of(code: str, adapted: Callable[[str], str] = str) -> str:
    """
    Return the page of the failure with *code*, as Markdown.

    Args:
        adapted: Adapts the commands to a machine. The documentation contains those of Docker.

    Raises:
        KeyError: No failure has this code.
    """
    failure = {cls.code: cls for cls in catalog()}[code]
    messages = [fill(f"[{code}] {each}", WIDTH, break_long_words=False) for each in messages_of(failure)]
    parts = [f"# {code}", "```text\n{}\n```".format("\n\n".join(messages))]
    parts += [f"## {title}\n\n{text}" for title, text in sections_of(failure, adapted).items()]
    return "\n\n".join(parts) + "\n"


def messages_of(failure: type[CertworkerError]) -> list[str]:
    """
    Return the messages with the code of *failure*, with a placeholder for each value.
    """
    return list(dict.fromkeys(template(each.message_template) for each in variants(failure)))


def sections_of(failure: type[CertworkerError], adapted: Callable[[str], str] = str) -> dict[str, str]:
    """
    Return the sections of the page of *failure* by their titles, as Markdown. See :func:`page_of`.
    """
    explanation = explanations()[failure.code]
    sections = {
        "Cause": adapted(explanation.cause),
        "How to check": adapted(explanation.check),
        "Remedy": _for_each_message(failure, lambda each: remedy_of(each, adapted)),
        "When certworker retries": _for_each_message(failure, retry_of),
    }
    if title := next((title for title, text in sections.items() if "SERVICE" in text), None):
        note = fill(OF_SERVICE, WIDTH, break_long_words=False, break_on_hyphens=False)
        sections[title] += f"\n\n{note}"
    return sections


def _for_each_message(failure: type[CertworkerError], text_of: Callable[[type[CertworkerError]], str]) -> str:
    """
    Return the text of *failure*, then each other text of a variant, after the messages that it is for.
    """
    first, *subclasses = variants(failure)
    default, usual = text_of(first), template(first.message_template)
    messages: dict[str, list[str]] = {}
    for variant in subclasses:
        if (text := text_of(variant)) != default:
            messages.setdefault(text, []).append(template(variant.message_template))
    parts = [default]
    for text, of_text in messages.items():
        *others, last = (f"`{message}`" for message in of_text)
        shown = f"{', '.join(others)} and {last}" if others else last
        start = "Alternatively" if usual in of_text else f"For the message{'s' * (len(of_text) > 1)} {shown}"
        parts.append(f"{start}: {text}")
    return "\n\n".join(parts)


def remedy_of(failure: type[CertworkerError], adapted: Callable[[str], str] = str) -> str:
    """
    Return the remedy of *failure* as Markdown, with commands and variables as code. See :func:`page_of`.
    """
    parts: list[str] = []
    end = 0
    text = adapted(template(failure.remedy_template))
    for command in COMMAND.finditer(text):
        parts += [markdown(text[end : command.start()]), f"`{command[0]}`"]
        end = command.end()
    return "".join([*parts, markdown(text[end:])])


def retry_of(failure: type[CertworkerError]) -> str:
    """
    Return when certworker retries after *failure*.
    """
    if text := RETRIES_BY_CODE.get(failure.code):
        return text
    if failure.code.startswith("import.") and failure.retry is Retry.NEVER:
        return OF_AN_IMPORT
    retry = RETRIES[failure.retry]
    if issubclass(failure, ValidationFailure) and not issubclass(failure, PreflightFailure):
        by_a_check = RETRIES[Retry.PREFLIGHT].removeprefix("certworker retries ")
        return f"{retry} If certworker finds the failure before the CA does, it retries {by_a_check}"
    return retry


def template(text: str) -> str:
    """
    Return the message template *text*, with an uppercase placeholder for each value.
    """
    return text.format_map(_Placeholders(WORDS))


def markdown(text: str) -> str:
    """
    Return plain *text* as Markdown, with variables and options as code, and URLs of web pages as links.
    """
    code = LITERAL.sub(lambda found: f"`{found[0]}`", text)
    return LINK.sub(lambda found: f"<{found[0]}>", code.replace("/*", "/\\*"))


class _Placeholders(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return name.upper()
