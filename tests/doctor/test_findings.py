"""
Tests of the findings of the report.
"""

from __future__ import annotations

import re

import pytest

from certworker.doctor.findings import MACHINE, Finding, Section, Verdict
from certworker.errors import catalog
from certworker.errors.http import BehindCloudflare
from certworker.errors.redis import RedisUnreachable
from certworker.preflight.result import CheckResult

SECTION = Section("Machine")
DOWN = RedisUnreachable(address="redis:6379", reason="refused")
CLOUDFLARE = BehindCloudflare(name="shop.example.org")


class TestSection:
    def test_a_failure_has_its_message_and_its_code(self) -> None:
        """
        A failure has the message, the remedy and the code of the log.
        """
        expected = Finding("Machine", "redis", Verdict.FAIL, DOWN.message, DOWN.remedy, "redis.unreachable")

        assert expected == SECTION.failure("redis", DOWN)

    def test_a_warning_remains_a_warning(self) -> None:
        """
        A failure class that is a warning has the verdict WARN, which determines the exit code.
        """
        assert Verdict.WARN is SECTION.failure("port 80", CLOUDFLARE).verdict

    def test_a_check_is_shown_with_its_warnings(self) -> None:
        """
        Each warning of a passed check is a finding, without a separate finding of success.
        """
        findings = list(
            SECTION.from_check(
                "port 80", CheckResult.passed("port 80 answers in 3 ms", CLOUDFLARE, CLOUDFLARE)
            )
        )

        assert [
            (Verdict.WARN, f"answers in 3 ms; {CLOUDFLARE.message}"),
            (Verdict.WARN, CLOUDFLARE.message),
        ] == [(finding.verdict, finding.text) for finding in findings]

    def test_an_impossible_check_is_skipped(self) -> None:
        """
        A skipped check has the verdict SKIPPED with its reason.
        """
        (finding,) = SECTION.from_check("port 80", CheckResult.skipped("port 80 not asked: no address"))

        assert (Verdict.SKIPPED, "not asked: no address") == (finding.verdict, finding.text)

    def test_a_check_without_a_text_has_no_finding(self) -> None:
        """
        A check that does not apply has no finding, and a failed one without a text has one.
        """
        assert [] == list(SECTION.from_check("target", CheckResult.passed("")))
        assert [Verdict.FAIL] == [
            finding.verdict for finding in SECTION.from_check("port 80", CheckResult.warn(DOWN))
        ]


class TestWithoutDocker:
    def test_no_remedy_needs_docker(self) -> None:
        """
        No remedy for a machine without Docker has a command of Docker.
        """
        remedies = [kind.remedy_template.replace("docker-socket-proxy", "the proxy") for kind in catalog()]
        changed = [MACHINE.fail("", "", remedy).without_docker().remedy for remedy in remedies]
        wrong = [remedy for remedy in changed if re.search(r"docker(?! ps| is| for the worker)", remedy)]

        assert not wrong, "\n".join(wrong)

    @pytest.mark.parametrize(
        ("remedy", "expected"),
        [
            ("Free disk space.", "Free disk space."),
            (
                "Set A=b in .env, then run: docker compose up -d",
                "Set A=b in /etc/certworker/env, then run: sudo systemctl restart certworker",
            ),
            ("Start it: docker compose up -d", "Start it: sudo systemctl restart certworker"),
            ("Restart it: docker compose restart SERVICE", "Restart it: sudo systemctl restart certworker"),
            ("Mount a volume in the Compose file.", "Mount a volume."),
            (
                "Run it as uid 1. In a container: docker compose exec -u 1 SERVICE certworker import",
                "Run it as uid 1. Example: sudo -u '#1' certworker import",
            ),
            ("docker compose logs redis. If not", "journalctl -u redis -n 200. If not"),
            ("docker compose ps traefik", "systemctl status traefik"),
            ("docker compose restart traefik", "sudo systemctl restart traefik"),
            (
                "docker compose exec SERVICE rq resume --url redis://HOST:PORT",
                "rq resume --url redis://HOST:PORT",
            ),
            (
                "docker compose run --rm -u 0 --entrypoint chown SERVICE -R 1 /storage",
                "sudo chown -R 1 /storage",
            ),
        ],
    )
    def test_commands_are_those_of_systemd(self, remedy: str, expected: str) -> None:
        """
        The commands use systemd, with the unit of the guide for machines without Docker.
        """
        assert expected == MACHINE.fail("", "", remedy).without_docker().remedy
