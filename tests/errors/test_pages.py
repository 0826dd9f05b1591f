"""
Tests of the documentation page of each failure.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import certworker
from certworker.errors import CertworkerError, Retry, Severity, catalog
from certworker.errors.dns import WrongAddress
from certworker.errors.http import HttpNotFound
from certworker.errors.pages import (
    OF_SERVICE,
    ONLY_A_WARNING,
    RETRIES,
    RETRIES_BY_CODE,
    explanations,
    page_of,
    reference_of,
    remedy_of,
    retry_of,
)
from certworker.integrations.docker import reloader
from certworker.redis import health
from certworker.traefik import deployment_check
from certworker.worker import maintenance
from tests.documentation import DOCS, pauses_of

FAILURES = {kind.code: kind for kind in catalog()}
#: The service of the worker in docker-compose.yml.
WORKER = "appwrite-worker-certificates"
PACKAGE = Path(certworker.__file__).parent
SECTIONS = ["Cause", "How to check", "Remedy", "When certworker retries"]


class TestExplanations:
    def test_each_failure_has_an_explanation_and_there_is_no_other(self) -> None:
        """
        Each code has an explanation in certworker/errors/explanations, and no other code has one.
        """
        assert set(FAILURES) == set(explanations())

    def test_each_explanation_has_a_cause_and_a_check(self) -> None:
        """
        The cause and the check are sentences, and their lines have at most 120 characters.
        """
        found = explanations()
        long = [
            f"{code}: {line}"
            for code, explanation in found.items()
            for line in f"{explanation.cause}\n{explanation.check}".splitlines()
            if len(line) > 120
        ]

        assert [] == [code for code, explanation in found.items() if "." not in explanation.cause]
        assert [] == [code for code, explanation in found.items() if not explanation.check]
        assert not long, "\n".join(long)


class TestPage:
    def test_each_page_has_all_sections(self) -> None:
        """
        Each page has the same sections, and none of them is empty.
        """
        pages = {code: page_of(code) for code in FAILURES}
        sections = {
            code: re.findall(r"^## (.+)\n\n\S", page.replace("\n\n    ", "\n\n"), re.MULTILINE)
            for code, page in pages.items()
        }

        assert [] == [
            code for code, page in pages.items() if not page.startswith(f"# {code}\n\n```text\n[{code}] ")
        ]
        assert {} == {code: found for code, found in sections.items() if found != SECTIONS}

    def test_a_command_names_only_services_of_all_compose_files(self) -> None:
        """
        A command of Docker Compose in the program names a service that both Compose files have, or the
        placeholder SERVICE.
        """
        files = (DOCS.parent / name for name in ("docker-compose.yml", "docker-compose.standalone.yml"))
        first, second = (set(yaml.safe_load(file.read_text())["services"]) for file in files)
        services = "|".join(first ^ second | {WORKER})
        command = re.compile(rf"docker compose (?:(?!\. [A-Z])[^;`\"])*?(?<= )({services})\b")
        sources = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".md")]
        wrong = [
            f"{path.relative_to(PACKAGE)}: {found[0]}"
            for path in sources
            # The parts of a string are one text, and the program runs in the service.
            for found in command.finditer(
                re.sub(r"SERVICE certworker ", "SERVICE ", re.sub(r'"\n\s+f?"', "", path.read_text()))
            )
            if "\n" not in found[0]
        ]

        assert WORKER in first - second
        assert not wrong, "\n".join(wrong)
        assert command.search("docker compose restart appwrite-worker-certificates")
        assert command.search("docker compose exec -u 1 certworker certworker import")

    def test_a_page_with_the_placeholder_for_the_service_explains_it(self) -> None:
        """
        Each page whose commands contain SERVICE has the names of the service.
        """
        pages = {code: " ".join(page_of(code).split()) for code in FAILURES}
        with_service = {code for code, page in pages.items() if re.search(r"docker compose .*SERVICE", page)}

        assert {"worker.stalled", "fs.readonly", "ca.unreachable"} <= with_service
        assert with_service == {code for code, page in pages.items() if OF_SERVICE in page}

    def test_the_guide_has_the_commands_of_each_installation(self) -> None:
        """
        The guide that the pages name has the worker's name in each Compose file, systemd, Swarm and
        Kubernetes.
        """
        guide = (DOCS / "guides" / "troubleshooting.md").read_text()
        contrib = DOCS.parent / "contrib"
        (stateful,) = (
            each["metadata"]["name"]
            for each in yaml.safe_load_all((contrib / "kubernetes" / "worker.yml").read_text())
            if each["kind"] == "StatefulSet"
        )

        assert "worker" in yaml.safe_load((contrib / "swarm" / "compose.yml").read_text())["services"]
        assert (contrib / "systemd" / "certworker.service").is_file()
        for command in (
            f"docker compose restart {WORKER}",
            "docker compose restart certworker",
            "sudo systemctl restart certworker",
            "docker service update --force certworker_worker",
            f"kubectl rollout restart statefulset/{stateful}",
        ):
            assert f"`{command}`" in guide, command

    def test_a_page_has_each_message_of_its_code(self) -> None:
        """
        A page has the message and the remedy of each class with its code, so that a search finds them.
        """
        page = " ".join(page_of("dns01.provider_failed").split())

        for message in (
            "The DNS provider PROVIDER did not change FQDN: REASON",
            "The program PROGRAM in EXEC_PATH failed at ACTION for FQDN: REASON",
            "The DNS provider PROVIDER needs Python packages that are not installed (REASON).",
        ):
            assert f"[dns01.provider_failed] {message}" in page
        assert (
            "For the message `The DNS provider PROVIDER needs Python packages that are not installed "
            "(REASON).`: Install them: `pip install 'certworker[lexicon]' 'dns-lexicon[NAME]'`"
        ) in page
        assert f"(REASON).`: {RETRIES[Retry.CONFIG]}" in page

    def test_a_retry_has_all_messages_that_it_is_for(self) -> None:
        """
        If several messages have the same retry, which is not the usual one of their code, the page lists all.
        """
        page = " ".join(page_of("dns01.credentials").split())

        assert (
            "by minutes.`, `The account file PATH of acme-dns cannot be read: REASON` and "
            "`The server PROVIDER rejects the account of NAME in the file PATH: REASON`: "
            f"{RETRIES[Retry.PREFLIGHT]}"
        ) in page

    def test_an_unknown_code_raises_a_key_error(self) -> None:
        """
        An unknown code raises KeyError, so that the caller can list the known ones.
        """
        with pytest.raises(KeyError):
            page_of("http.teapot")

    @pytest.mark.parametrize(
        ("remedy_template", "remedy"),
        [
            ("Read it: docker ps; docker logs x", "Read it: `docker ps`; `docker logs x`"),
            ("Wait; certworker retries", "Wait; certworker retries"),
            (
                "Both: openssl x509 -in A; openssl pkey -in B",
                "Both: `openssl x509 -in A`; `openssl pkey -in B`",
            ),
            ("See: dig NAME. Then wait.", "See: `dig NAME`. Then wait."),
            ("Set _APP_ENV=production.", "Set `_APP_ENV=production`."),
            ("Start it with --port=80; then wait", "Start it with `--port=80`; then wait"),
            ("See https://example.org/a_b.", "See <https://example.org/a_b>."),
            ("Set it to redis://HOST:6379/0", "Set it to `redis://HOST:6379/0`"),
            ("Exclude {name}/*", "Exclude NAME/\\*"),
        ],
    )
    def test_commands_and_variables_of_a_remedy_are_code(self, remedy_template: str, remedy: str) -> None:
        """
        Commands and variables of a remedy are code in Markdown, so that they are shown unchanged.
        """
        failure = type("Failure", (CertworkerError,), {"remedy_template": remedy_template})

        assert remedy == remedy_of(failure)


class TestReference:
    def test_without_a_site_the_reference_is_the_command(self) -> None:
        """
        Without a site, the reference is the command, which works without the Internet.
        """
        assert "certworker explain http.404" == reference_of("http.404", None)

    def test_with_a_site_the_reference_is_the_page_of_mkdocs(self) -> None:
        """
        With a site, the reference is the URL of the page that MkDocs builds from CODE.md.
        """
        site = "https://docs.example.org/latest/"
        urls = [reference_of(code, site) for code in FAILURES]

        assert [] == [url for url in urls if not url.startswith(site)]
        assert [] == [
            url for url in urls if not (DOCS / f"{url.removeprefix(site).removesuffix('/')}.md").is_file()
        ]

    def test_an_unknown_code_has_no_page(self) -> None:
        """
        An unknown code, which Redis can contain, has no reference.
        """
        assert "" == reference_of("http.teapot", "https://docs.example.org")


class TestRetries:
    @pytest.mark.parametrize("retry", [Retry.PREFLIGHT, Retry.CA, Retry.SOON])
    def test_the_delays_are_those_of_the_policy(self, retry: Retry) -> None:
        """
        The text has the delays of the retry policy.
        """
        assert RETRIES[retry] == f"certworker retries {pauses_of(retry)}."

    def test_a_failure_of_preflight_has_the_delays_of_preflight(self) -> None:
        """
        A failure that only preflight finds has the delays of preflight, because no order fails.
        """
        assert retry_of(WrongAddress) == RETRIES[Retry.PREFLIGHT]

    def test_a_failure_of_preflight_and_of_the_ca_has_both_delays(self) -> None:
        """
        A failure that preflight or the CA finds has the delays of both, those of the CA first.
        """
        text = retry_of(HttpNotFound)

        assert text.startswith(RETRIES[Retry.CA])
        assert text.endswith(
            "does, it retries after 1, 5, 10 and 30 minutes, then hourly for a day, then daily."
        )

    @pytest.mark.parametrize(
        ("code", "by_both"),
        [
            ("acme.tls", True),
            ("dns01.not_visible", True),
            ("http.not_validated", False),
            ("http.secondary", False),
        ],
    )
    def test_only_what_a_check_can_find_has_the_delays_of_both(self, code: str, by_both: bool) -> None:
        """
        A failure has the delays of preflight only if a check by certworker can find it.
        """
        assert by_both == (RETRIES[Retry.CA] != retry_of(FAILURES[code]))

    @pytest.mark.parametrize(
        ("code", "text"),
        [
            ("import.expired", "certworker does not retry. Import a correct certificate."),
            ("import.wrong_user", "certworker does not retry. Run the command again."),
            ("label.refused", "certworker retries after growing pauses of at most a minute."),
            ("hook.failed", f"{RETRIES[Retry.SOON]} The retries end when the worker stops."),
            ("queue.abandoned", "certworker does not run this job again."),
        ],
    )
    def test_a_failure_outside_of_the_policy_has_its_own_text(self, code: str, text: str) -> None:
        """
        A failure to which the retry policy does not apply has its own text.
        """
        assert retry_of(FAILURES[code]) == text
        assert page_of(code).rstrip().endswith(text)

    @pytest.mark.parametrize(
        ("code", "seconds", "wanted", "text"),
        [
            ("redis.unreachable", health.LONGEST_PAUSE_SECONDS, 60, "of at most a minute."),
            ("reload.failed", reloader.RETRY_INTERVAL_SECONDS, 60, "every minute."),
            ("proxy.old_cert", deployment_check.SLOW_POLL_SECONDS, 300, "every 5 minutes."),
            ("notice.undelivered", maintenance.DELIVERY_INTERVAL_SECONDS, 30, "every 30 seconds."),
        ],
    )
    def test_each_own_text_has_the_pause_of_its_loop(
        self, code: str, seconds: float, wanted: float, text: str
    ) -> None:
        """
        The text has the pause of the loop that retries.
        """
        assert wanted == seconds
        assert retry_of(FAILURES[code]).endswith(text)

    def test_what_is_only_a_warning_has_the_severity_of_a_warning(self) -> None:
        """
        A failure that never prevents an order is a warning in the log and in the doctor.
        """
        warnings = [code for code, text in RETRIES_BY_CODE.items() if text == ONLY_A_WARNING]

        assert {"dns.cname_target", "http.hairpin"} <= set(warnings)
        assert [] == [code for code in warnings if FAILURES[code].severity is not Severity.WARNING]

    def test_each_own_text_belongs_to_a_failure(self) -> None:
        """
        Each text belongs to an existing code.
        """
        assert set(RETRIES_BY_CODE) <= set(FAILURES)
