"""
The doctor finds what is missing, and crashes on nothing.
"""

from __future__ import annotations

from pathlib import Path

from certworker.development.authority import DevelopmentAuthority
from certworker.doctor import Finding, Verdict, examine
from tests.houses import environment
from tests.servers.redis import RedisServer, free_port


def healthy(place: Path, server: RedisServer, authority: DevelopmentAuthority) -> dict[str, str]:
    """
    The variables of a machine on which all is well.
    """
    redis = {"_APP_REDIS_HOST": "127.0.0.1", "_APP_REDIS_PORT": str(server.port)}
    return environment(place, authority.directory_url, free_port(), **redis)


def failed(environ: dict[str, str]) -> list[Finding]:
    """
    What the doctor complains of.
    """
    return [finding for finding in examine(environ) if finding.verdict is Verdict.FAIL]


class TestExamine:
    def test_a_healthy_machine_has_no_findings(
        self, tmp_path: Path, redis_server: RedisServer, authority: DevelopmentAuthority
    ) -> None:
        """
        False alarms are defects, too.
        """
        assert [] == failed(healthy(tmp_path, redis_server, authority))

    def test_each_missing_thing_is_a_line_with_a_remedy(
        self, tmp_path: Path, redis_server: RedisServer, authority: DevelopmentAuthority
    ) -> None:
        """
        No Redis, no volume and no CA at once: all of it is told.
        """
        environ = healthy(tmp_path, redis_server, authority) | {
            "_APP_REDIS_PORT": str(free_port()),
            "CERTWORKER_CONFIG_DIR": str(tmp_path / "nowhere"),
            "CERTWORKER_AUTHORITY": f"http://127.0.0.1:{free_port()}/directory",
        }
        findings = failed(environ)

        assert [str(tmp_path / "nowhere"), "redis", "CA"] == [finding.subject for finding in findings]
        assert all(finding.remedy for finding in findings)
        assert not (tmp_path / "nowhere").exists()

    def test_wrong_settings_end_the_examination_with_all_of_them(self) -> None:
        """
        Without settings nobody knows where to look.
        """
        findings = failed({"CERTWORKER_KEY_TYPE": "dsa", "CERTWORKER_LOG": "loud"})

        assert ["config.invalid"] == [finding.code for finding in findings]
        assert "CERTWORKER_LOG must be" in findings[0].text
