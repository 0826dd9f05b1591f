"""
Tests of the file that a user attaches to a bug report.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from certworker.app import App
from certworker.doctor.attachment import MASK, SHOWN, report, write
from certworker.doctor.report import examine
from certworker.errors.worker import Unexpected
from certworker.observability.history import HistoryEntry
from certworker.settings import variables
from certworker.settings.loading import SECRETS
from tests.doctor.conftest import NAME

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def secret(number: int) -> str:
    """
    Return a unique secret with *number*.
    """
    return f"zebra{number}quagga"


@pytest.fixture
def hostile(environ: dict[str, str], tmp_path: Path, app: App) -> dict[str, str]:
    """
    Return an environment with a secret in each possible variable, and a history that repeats some.
    """
    port = environ["_APP_REDIS_PORT"]
    for name in ("_APP_SMTP_PASSWORD", "CERTWORKER_NOTIFY_SECRET"):
        (tmp_path / name).write_text(secret(len(name)))
    (tmp_path / "LEXICON_GANDI_AUTH_TOKEN").write_text(secret(15))
    app.records.record_failed(
        [NAME], Unexpected(fault=" and ".join(map(secret, (1, 10, 13, 14, 15)))), next_check=NOW, now=NOW
    )
    app.agenda.put(NAME, NOW)
    app.history.append(NAME, HistoryEntry(NOW, "WARN", f"a note with {secret(3)}"))
    app.history.flush()
    return environ | {
        "_APP_REDIS_PASS": secret(1),
        "CERTWORKER_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "CERTWORKER_EAB_KID": secret(2),
        "CERTWORKER_EAB_HMAC_KEY": f"{secret(3)}==",
        "_APP_SMTP_PASSWORD_FILE": str(tmp_path / "_APP_SMTP_PASSWORD"),
        "CERTWORKER_NOTIFY_SECRET_FILE": str(tmp_path / "CERTWORKER_NOTIFY_SECRET"),
        "CERTWORKER_NOTIFY_URL": f"https://{secret(4)}:{secret(5)}@hooks.example.org/{secret(6)}?{secret(7)}",
        "_APP_SMTP_USERNAME": secret(8),
        "_APP_REDIS_USER": secret(9),
        "https_proxy": f"http://me:{secret(10)}@proxy.example.org:3128",
        "HTTPS_PROXY": "http://[::1",
        "NO_PROXY": "127.0.0.1",
        "RFC2136_TSIG_SECRET": secret(13),
        "LEXICON_CLOUDFLARE_AUTH_TOKEN": secret(14),
        "LEXICON_GANDI_AUTH_TOKEN_FILE": str(tmp_path / "LEXICON_GANDI_AUTH_TOKEN"),
        "CERTWORKER_RELOAD": f"nginx:exec:reload --token {secret(11)}",
        "_APP_OPENSSL_KEY_V1": secret(12),
    }


class TestReport:
    def test_the_report_has_no_secret(self, hostile: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        """
        The report masks each secret, also in messages and in the history.
        """
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        text = json.dumps(report(hostile, examine(hostile, [NAME]), NOW), ensure_ascii=False)

        assert [] == [number for number in range(30) if secret(number) in text]
        assert "http://proxy.example.org:3128" in text
        assert "https://hooks.example.org/…" in text
        assert "a note with (secret)" in text

    @pytest.mark.parametrize(
        "address", ["jane@jane-doe.org", "jane@jane_doe!.org", "jane@jäne-doe.org, j@x.org"]
    )
    @pytest.mark.parametrize(
        "name", ["_APP_EMAIL_CERTIFICATES", "_APP_SYSTEM_SECURITY_EMAIL_ADDRESS", "_APP_SYSTEM_EMAIL_ADDRESS"]
    )
    def test_the_report_has_no_email_address(self, environ: dict[str, str], name: str, address: str) -> None:
        """
        The report has no e-mail address of the settings, valid or not, and not the domain of an invalid one.
        """
        given = environ | {name: address, "_APP_SMTP_HOST": "127.0.0.1", "_APP_SMTP_PORT": "1"}
        text = json.dumps(report(given, examine(given), NOW), ensure_ascii=False)

        assert [] == [part for part in ("jane", "ne-doe", "ne_doe", "xn--", "j@x.org") if part in text]

    def test_the_report_has_versions_settings_findings_and_history(
        self, environ: dict[str, str], issued: App
    ) -> None:
        """
        The report has the versions, the settings, the findings and the history.
        """
        content = json.loads(json.dumps(report(environ, examine(environ, [NAME]), NOW)))
        (name,) = content["redis"]["names"]

        assert {"certworker", "Python", "redis", "rq"} <= content["versions"].keys()
        assert NAME == content["settings"]["_APP_DOMAIN"]
        assert "certificate" in {finding["subject"] for finding in content["findings"]}
        assert (NAME, "issued") == (name["name"], name["state"])

    def test_invalid_settings_are_masked(self, environ: dict[str, str]) -> None:
        """
        With invalid settings the report masks every value, because a password can be in the wrong line.
        """
        wrong = environ | {"CERTWORKER_LOG": secret(1), "_APP_DOMAIN": secret(2)}
        content = report(wrong, examine(wrong), NOW)

        assert {MASK} == set(content["settings"].values())
        assert "zebra" not in json.dumps(content)
        assert ["config.invalid"] == [finding["code"] for finding in content["findings"]]

    def test_an_unreachable_redis_is_reported(self, environ: dict[str, str]) -> None:
        """
        The report has the failure of an unreachable Redis.
        """
        content = report(environ | {"_APP_REDIS_PORT": "1"}, [], NOW)

        assert "redis.unreachable" == content["redis"]["failure"]["code"]

    def test_variables_with_secrets_are_never_shown(self) -> None:
        """
        The list of shown variables has no secret. A variable that is not in the list is masked.
        """
        assert SHOWN <= variables().keys()
        assert set() == SHOWN & set(SECRETS)


class TestWrite:
    def test_other_users_cannot_read_the_file(self, tmp_path: Path) -> None:
        """
        The mode of the file is 0600, because it has domains and addresses.
        """
        write(b"{}", str(tmp_path / "report.json"))

        assert 0o600 == stat.S_IMODE((tmp_path / "report.json").stat().st_mode)

    def test_an_existing_file_is_replaced(self, tmp_path: Path) -> None:
        """
        Other users cannot read the new content, even if they could read the file before, or had opened it.
        """
        file = tmp_path / "report.json"
        file.write_bytes(b"before")
        file.chmod(0o644)
        (tmp_path / "second name").hardlink_to(file)
        write(b"{}", str(file))

        assert (b"{}", 0o600) == (file.read_bytes(), stat.S_IMODE(file.stat().st_mode))
        assert b"before" == (tmp_path / "second name").read_bytes()

    @pytest.mark.parametrize("existing", ["link", "dangling", "pipe"])
    def test_a_link_or_a_device_is_refused(self, tmp_path: Path, existing: str) -> None:
        """
        Another user may have placed a link, through which the command would overwrite a file.
        """
        file, other = tmp_path / "report.json", tmp_path / "other"
        if existing == "pipe":
            os.mkfifo(file)
        else:
            file.symlink_to(other)
        if existing == "link":
            other.write_bytes(b"before")
        before = sorted(tmp_path.iterdir())
        with pytest.raises(OSError, match="it is a link, or not a regular file"):
            write(b"{}", str(file))

        assert before == sorted(tmp_path.iterdir())
        assert existing != "link" or other.read_bytes() == b"before"

    def test_a_failed_replacement_leaves_no_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        A report that cannot replace a file, for example a mounted one, leaves no other file.
        """

        def refuse(*_: object) -> None:
            raise OSError(errno.EBUSY, "Device or resource busy")

        monkeypatch.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="busy"):
            write(b"{}", str(tmp_path / "report.json"))

        assert [] == list(tmp_path.iterdir())
