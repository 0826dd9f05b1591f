"""
Reading the settings, and the files with secrets that they name.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from certworker.errors.config import InvalidSettings
from certworker.settings import Settings, load
from certworker.settings.loading import SECRETS

SECRET = "correct_horse_"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """
    A file with a secret, as an editor leaves it.
    """
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


def revealed(secret: SecretStr | None) -> str:
    """
    The text of *secret*.
    """
    assert secret is not None
    return secret.get_secret_value()


class TestSecretsInFiles:
    def test_they_are_read(self, file: Path) -> None:
        """
        Docker mounts secrets as files; the end of the line is the editor's.
        """
        settings = load(
            {
                "_APP_REDIS_PASS_FILE": str(file),
                "CERTWORKER_EAB_KID": "kid",
                "CERTWORKER_EAB_HMAC_KEY_FILE": str(file),
            }
        )

        assert SECRET == revealed(settings.redis_password)
        assert SECRET == revealed(settings.eab_hmac_key)

    def test_a_password_keeps_its_spaces(self, file: Path) -> None:
        """
        All of the file is the password, but for the end of its last line.
        """
        file.write_text(' "a b" \n\n')

        assert ' "a b" \n' == revealed(load({"_APP_REDIS_PASS_FILE": str(file)}).redis_password)

    @pytest.mark.parametrize("name", [f"{secret}_FILE" for secret in SECRETS])
    def test_a_file_that_cannot_be_read_is_told(self, name: str, tmp_path: Path) -> None:
        """
        A worker that went on without its password would be refused later, with less of a reason.
        """
        (tmp_path / "empty").touch()
        for path in (tmp_path, tmp_path / "missing", tmp_path / "empty"):
            with pytest.raises(InvalidSettings, match=f"{name} must be the path of a file"):
                load({name: str(path)})

    def test_a_secret_twice_is_told(self, file: Path) -> None:
        """
        Nobody would know which of the two is used.
        """
        with pytest.raises(
            InvalidSettings, match=r"_APP_REDIS_PASS_FILE must be .* and _APP_REDIS_PASS empty"
        ):
            load({"_APP_REDIS_PASS_FILE": str(file), "_APP_REDIS_PASS": "other"})

    def test_every_secret_may_stand_in_a_file(self) -> None:
        """
        One that was added later is not forgotten.
        """
        secret = {
            str(field.validation_alias)
            for field in Settings.model_fields.values()
            if "SecretStr" in str(field.annotation)
        }

        assert secret == set(SECRETS)


class TestExternalAccount:
    def test_one_without_the_other_is_told(self) -> None:
        """
        Half of it is a slip, and the CA would refuse it with less clear words.
        """
        for half in ({"CERTWORKER_EAB_KID": "kid"}, {"CERTWORKER_EAB_HMAC_KEY": SECRET}):
            with pytest.raises(InvalidSettings, match=r"CERTWORKER_EAB_HMAC_KEY must be .* be set"):
                load(half)

    @pytest.mark.parametrize("written", ["-_-_", "+/+/", "-_-_=="])
    def test_a_key_may_be_written_in_either_alphabet(self, written: str) -> None:
        """
        Web sites show it as they like.
        """
        settings = load({"CERTWORKER_EAB_KID": "kid", "CERTWORKER_EAB_HMAC_KEY": written})

        assert "-_-_" == revealed(settings.eab_hmac_key)
