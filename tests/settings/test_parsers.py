"""
Tests of the parsers, which convert the text of a variable into the value of a setting.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from pydantic import TypeAdapter, ValidationError

from certworker.errors.config import InvalidSettings
from certworker.redis.url import RedisURL
from certworker.settings import HttpAddress, load, parsers
from tests.storage.authority import Signer

SECRET = "hunter2"
APPWRITE = {
    "_APP_REDIS_HOST": "redis",
    "_APP_REDIS_PORT": "6380",
    "_APP_REDIS_USER": "me",
    "_APP_REDIS_PASS": SECRET,
}

READ = [
    (parsers.Production, "PRODUCTION", True),
    (parsers.CommaList, "a, b", ("a", "b")),
    (parsers.CommaList, ",", ()),
    (parsers.AuthorityNames, "AUTO", ("AUTO",)),
    (parsers.AddressOrOff, "off", None),
    (parsers.AddressOrOff, "[::1]:1", HttpAddress("::1", 1)),
    (parsers.Directory, "/a/b", Path("/a/b")),
    (parsers.DirectoryOrOff, "Off", None),
    (parsers.DirectoryOrOff, "/off", Path("/off")),
    (parsers.HostName, "my_redis.internal", "my_redis.internal"),
    (parsers.HostName, "::1", "::1"),
    (parsers.Port, "1", 1),
    (parsers.Port, "65535", 65535),
    (parsers.Slots, "1", 1),
    (parsers.Slots, "1024", 1024),
    (parsers.Profile, "tls-server.v2", "tls-server.v2"),
]


class TestParsers:
    @pytest.mark.parametrize(("kind", "text", "value"), READ)
    def test_a_valid_text_is_parsed(self, kind: Any, text: str, value: object) -> None:
        """
        Each parser accepts the limits of its range.
        """
        assert TypeAdapter(kind).validate_python(text) == value

    @pytest.mark.parametrize(
        ("kind", "text"),
        [(parsers.AddressOrOff, "[::1]:65536"), (parsers.Slots, "1025"), (parsers.HostName, "a/b")],
    )
    def test_a_value_out_of_range_is_refused(self, kind: Any, text: str) -> None:
        """
        A value outside of the range is refused, not cut.
        """
        with pytest.raises(ValidationError):
            TypeAdapter(kind).validate_python(text)


class TestPaths:
    @pytest.mark.parametrize("name", ["CERTWORKER_CA_BUNDLE", "CERTWORKER_LIMITS_FILE"])
    def test_an_inaccessible_file_is_named(self, name: str, unreachable: Path) -> None:
        """
        A file in a directory without access is named with the reason.
        """
        with pytest.raises(InvalidSettings, match=f"{name} must be .*; it cannot be read: Permission denied"):
            load({name: str(unreachable)})

    def test_an_inaccessible_directory_is_accepted(self, unreachable: Path) -> None:
        """
        The loader accepts the directory. The checks of the volume report it with its owner and the remedy.
        """
        assert unreachable == load({"CERTWORKER_CONFIG_DIR": str(unreachable)}).config_dir

    def test_a_missing_directory_is_accepted(self, tmp_path: Path) -> None:
        """
        The loader accepts a missing directory, because the worker creates it.
        """
        assert (
            tmp_path / "new" == load({"CERTWORKER_CERTIFICATES_DIR": str(tmp_path / "new")}).certificates_dir
        )

    @pytest.mark.timeout(20)
    def test_a_pipe_is_no_file(self, tmp_path: Path) -> None:
        """
        A pipe is refused, because its content has no end.
        """
        os.mkfifo(tmp_path / "pipe")
        given = {"CERTWORKER_CA_BUNDLE": "", "_APP_REDIS_PASS_FILE": "", "CERTWORKER_LIMITS_FILE": ""}
        with pytest.raises(InvalidSettings) as refused:
            load(dict.fromkeys(given, str(tmp_path / "pipe")))

        assert 3 == len(refused.value.findings)


@pytest.fixture
def unreachable(tmp_path: Path) -> Iterator[Path]:
    """
    Yield a file in a directory without access; root becomes another user in the meantime.
    """
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        (directory / "file").touch()
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        else:
            directory.chmod(0)
        yield directory / "file"
        os.seteuid(user)
        directory.chmod(0o700)


class TestCaBundle:
    @pytest.fixture
    def pem(self) -> bytes:
        """
        Return a certificate in PEM form.
        """
        return Signer().certificate("ca.internal").fullchain_pem

    def test_a_pem_file_is_read(self, tmp_path: Path, pem: bytes) -> None:
        """
        A PEM file is accepted with a byte order mark, with text around it and with any line breaks.
        """
        for content in (
            pem,
            b"\xef\xbb\xbf" + pem,
            b"Subject: CN=a root\n" + pem,
            pem.replace(b"\n", b"\r\n"),
        ):
            (tmp_path / "ca.pem").write_bytes(content)

            assert load({"CERTWORKER_CA_BUNDLE": str(tmp_path / "ca.pem")}).ca_bundle

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda _: b"",
            lambda _: b"rubbish",
            lambda pem: ssl.PEM_cert_to_DER_cert(pem.decode()[: pem.index(b"-----END") + 25]),
            lambda pem: pem.decode().encode("utf-16"),
            lambda pem: pem.replace(b"M", b"*", 3),
            lambda pem: pem + pem.replace(b"M", b"*", 3),
            lambda pem: pem[: len(pem) // 4],
        ],
        ids=["empty", "rubbish", "DER", "UTF-16", "base64", "second", "cut"],
    )
    def test_another_form_is_refused_with_the_command_that_converts_it(
        self, tmp_path: Path, pem: bytes, spoil: Callable[[bytes], bytes]
    ) -> None:
        """
        A file in another form is refused, and the remedy has the command that converts it.
        """
        (tmp_path / "ca.pem").write_bytes(spoil(pem))
        with pytest.raises(InvalidSettings, match=r"CERTWORKER_CA_BUNDLE must be .*openssl x509 -inform der"):
            load({"CERTWORKER_CA_BUNDLE": str(tmp_path / "ca.pem")})


class TestMailAddress:
    @pytest.mark.parametrize(
        ("text", "address"),
        [
            ("certworker@localhost", "certworker@localhost"),
            ("first.last+certs@Mail.Example.org", "first.last+certs@mail.example.org"),
            ("bücher@bücher.example", "bücher@xn--bcher-kva.example"),
        ],
    )
    def test_the_domain_is_converted_to_its_ascii_form(self, text: str, address: str) -> None:
        """
        The domain of an address is converted to its ASCII form, and the local part is unchanged.
        """
        assert address == load({"_APP_SYSTEM_EMAIL_ADDRESS": text}).mail_sender

    def test_the_contact_is_checked_if_mail_is_set_up(self) -> None:
        """
        The contact has to be a valid address only if a mail server is set.
        """
        other = {"_APP_SYSTEM_SECURITY_EMAIL_ADDRESS": "a@b.org"}
        contact = {"_APP_EMAIL_CERTIFICATES": "nonsense", **other}
        load(contact)
        with pytest.raises(InvalidSettings, match=r"_APP_EMAIL_CERTIFICATES must be .*_APP_SMTP_HOST is set"):
            load(
                {
                    **contact,
                    "_APP_SMTP_HOST": "smtp.example.org",
                    "_APP_SYSTEM_SECURITY_EMAIL_ADDRESS": "a@b.org",
                }
            )

    def test_the_contact_is_reported_together_with_the_mail_server(self) -> None:
        """
        One failure names the contact and the mail server.
        """
        with pytest.raises(InvalidSettings) as refused:
            load({"_APP_EMAIL_CERTIFICATES": "nonsense", "_APP_SMTP_HOST": "smtp..example.org"})

        assert ["_APP_SMTP_HOST", "_APP_EMAIL_CERTIFICATES"] == [
            finding.partition(" ")[0] for finding in refused.value.findings
        ]

    def test_an_overridden_address_is_not_checked(self) -> None:
        """
        The loader checks only the newer variable if both are set.
        """
        given = {
            "_APP_EMAIL_CERTIFICATES": "a\nb",
            "_APP_SYSTEM_SECURITY_EMAIL_ADDRESS": "nonsense",
            "_APP_SMTP_HOST": "smtp.example.org",
        }
        with pytest.raises(InvalidSettings) as refused:
            load(given)

        assert ["_APP_EMAIL_CERTIFICATES"] == [each.partition(" ")[0] for each in refused.value.findings]

    def test_the_contact_can_be_several_addresses(self) -> None:
        """
        Each address of the contact is a recipient.
        """
        given = {
            "_APP_SMTP_HOST": "smtp.example.org",
            "_APP_EMAIL_CERTIFICATES": "ops@a.org, dev@bücher.example",
        }

        assert ("ops@a.org", "dev@xn--bcher-kva.example") == load(given).mail_recipients


class TestRedis:
    def test_the_variables_of_appwrite_have_the_address(self) -> None:
        """
        The four variables of Appwrite set the address and the credentials.
        """
        assert load(APPWRITE).redis == RedisURL((("redis", 6380),), "me", SECRET)

    def test_the_url_overrides_the_variables_of_appwrite(self) -> None:
        """
        The URL overrides the four variables, which a Compose file always passes.
        """
        settings = load({**APPWRITE, "CERTWORKER_REDIS_URL": "rediss://you:pw@other/1"})

        assert settings.redis == RedisURL((("other", 6379),), "you", "pw", 1, tls={})

    def test_the_password_is_never_shown(self) -> None:
        """
        No text form of the settings contains the password of the URL.
        """
        settings = load({"CERTWORKER_REDIS_URL": f"redis://me:{SECRET}@redis/0"})

        assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()} {settings.redis!r}"

    def test_the_url_can_be_in_a_file(self, tmp_path: Path) -> None:
        """
        The URL is read from a file, because Docker mounts secrets as files.
        """
        (tmp_path / "url").write_text("redis://me:pw@redis/0\n")

        assert "pw" == load({"CERTWORKER_REDIS_URL_FILE": str(tmp_path / "url")}).redis.password

    def test_an_invalid_url_is_named_without_its_value(self) -> None:
        """
        The failure has the allowed forms, and not the value.
        """
        with pytest.raises(InvalidSettings, match=r"CERTWORKER_REDIS_URL must be redis://.*%40") as refused:
            load({"CERTWORKER_REDIS_URL": f"redis://me:{SECRET}/x@redis"})

        assert SECRET not in str(refused.value)

    def test_the_files_of_the_url_must_exist(self, tmp_path: Path) -> None:
        """
        The loader refuses a URL that names a missing file.
        """
        bundle = tmp_path / "ca.pem"
        url = f"rediss://redis?ssl_ca_certs={bundle}"
        with pytest.raises(InvalidSettings, match="CERTWORKER_REDIS_URL"):
            load({"CERTWORKER_REDIS_URL": url})
        bundle.write_bytes(Signer().certificate("redis.internal").fullchain_pem)

        assert (bundle,) == load({"CERTWORKER_REDIS_URL": url}).redis.files

    @pytest.mark.parametrize(
        "content", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"]
    )
    def test_the_files_of_the_url_must_be_valid(self, tmp_path: Path, content: bytes) -> None:
        """
        The loader refuses an invalid file, before a connection fails with a message of OpenSSL.
        """
        (tmp_path / "ca.pem").write_bytes(content)
        with pytest.raises(InvalidSettings, match="has no PEM certificate, or no PEM key"):
            load({"CERTWORKER_REDIS_URL": f"rediss://redis?ssl_ca_certs={tmp_path / 'ca.pem'}"})

    def test_a_key_with_a_password_is_refused(self, tmp_path: Path) -> None:
        """
        A key with a password is refused, because OpenSSL would read the password from the terminal.
        """
        certificate = Signer().certificate("worker.internal")
        (tmp_path / "client.pem").write_bytes(certificate.fullchain_pem)
        (tmp_path / "key.pem").write_bytes(
            certificate.key.key.private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
            )
        )
        query = f"ssl_certfile={tmp_path / 'client.pem'}&ssl_keyfile={tmp_path / 'key.pem'}"
        with pytest.raises(InvalidSettings, match="without a password"):
            load({"CERTWORKER_REDIS_URL": f"rediss://redis?{query}"})
