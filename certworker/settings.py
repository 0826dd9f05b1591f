"""
What an operator may set: read once from the environment, then frozen.

All wrong values are told together, each with what is allowed, and never with what was given: the
environment holds passwords, and logs are shown around.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from certworker.choices import AuthorityChoice, HttpAddress, contact_problem
from certworker.errors.configuration import InvalidSettings

__all__ = ["AuthorityChoice", "HttpAddress", "KeyType", "Settings", "contact_problem", "load", "variables"]

#: As in :mod:`certworker.certificates`, which settings do not import: a test holds the two together.
KeyType = Literal["ec256", "ec384", "rsa2048", "rsa3072", "rsa4096"]

#: Taken as it is: quotes and spaces may belong to it.
PASSWORD = "_APP_REDIS_PASS"


def _unquoted(value: str) -> str:
    return value.strip().strip("\"'").strip()


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _authority(value: str) -> str:
    if value.lower() != "auto":
        AuthorityChoice.named(value)
    return value


def _http_address(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return None if value.lower() == "off" else HttpAddress.parse(value)


def _directory_or_off(value: Any) -> Any:
    return None if value == "off" else value


def _comma_list(value: Any) -> Any:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _is_production(value: Any) -> Any:
    return value.lower() == "production" if isinstance(value, str) else value


Port = Annotated[int, Field(ge=1, le=65535)]
Directory = Annotated[Path, AfterValidator(Path.absolute)]


class Settings(BaseSettings):
    """
    The settings, each with the variable it comes from; the description says what that variable allows.
    """

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore")

    #: Only production may use a public CA.
    production: Annotated[bool, BeforeValidator(_is_production)] = Field(
        False, validation_alias="_APP_ENV", description="production or development"
    )
    #: Asked for at every start, as they were written.
    domains: Annotated[tuple[str, ...], BeforeValidator(_comma_list)] = Field(
        ("localhost",),
        validation_alias="_APP_DOMAIN",
        description="names separated by commas, for example api.example.org",
    )
    #: The contact that the CA is told; whether it is good is judged when a public CA is asked.
    email: str | None = Field(
        None,
        validation_alias=AliasChoices("_APP_EMAIL_CERTIFICATES", "_APP_SYSTEM_SECURITY_EMAIL_ADDRESS"),
        description="an e-mail address",
    )
    older_email: str | None = Field(
        None, validation_alias="_APP_SYSTEM_SECURITY_EMAIL_ADDRESS", description="an e-mail address"
    )
    redis_host: str = Field("redis", validation_alias="_APP_REDIS_HOST", description="a host name")
    redis_port: Port = Field(
        6379, validation_alias="_APP_REDIS_PORT", description="a number from 1 to 65535, for example 6379"
    )
    redis_user: str | None = Field(None, validation_alias="_APP_REDIS_USER", description="a user name")
    redis_password: SecretStr | None = Field(None, validation_alias=PASSWORD, description="a password")
    authority_name: Annotated[str, AfterValidator(_authority)] = Field(
        "auto",
        validation_alias="CERTWORKER_AUTHORITY",
        description="auto, letsencrypt, letsencrypt-staging, development or the URL of an ACME directory, "
        "for example https://ca.example.org/acme/directory",
    )
    #: What to trust when talking to that CA; None: what the system trusts.
    ca_bundle: FilePath | None = Field(
        None,
        validation_alias="CERTWORKER_CA_BUNDLE",
        description="the path of a PEM file that exists here, for example /etc/ssl/my-ca.pem",
    )
    certificates_dir: Directory = Field(
        Path("/storage/certificates"),
        validation_alias="CERTWORKER_CERTIFICATES_DIR",
        description="a directory, for example /storage/certificates",
    )
    config_dir: Directory = Field(
        Path("/storage/config"),
        validation_alias="CERTWORKER_CONFIG_DIR",
        description="a directory, for example /storage/config",
    )
    #: Account keys, the development root, orders under way.
    state_dir: Directory = Field(
        default_factory=lambda known: known["certificates_dir"] / ".certworker",
        validation_alias="CERTWORKER_STATE_DIR",
        description="a directory, for example /storage/state",
    )
    #: Challenge answers, health, metrics; None: no port at all.
    http_address: Annotated[HttpAddress | None, BeforeValidator(_http_address)] = Field(
        HttpAddress("0.0.0.0", 8080),  # noqa: S104 (in a container, where the compose file decides)
        validation_alias="CERTWORKER_HTTP_ADDRESS",
        description="an address with a port, for example 0.0.0.0:8080 or [::]:8080; or off",
    )
    #: Where challenge files are also laid, for a core that serves them.
    webroot: Annotated[Directory | None, BeforeValidator(_directory_or_off)] = Field(
        default_factory=lambda known: known["certificates_dir"],
        validation_alias="CERTWORKER_WEBROOT",
        description="a directory, for example /storage/certificates; or off",
    )
    #: Jobs at a time.
    concurrency: Annotated[int, Field(ge=1, le=1024)] = Field(
        16,
        validation_alias="CERTWORKER_CONCURRENCY",
        description="a number from 1 to 1024, for example 16",
    )
    key_type: Annotated[KeyType, BeforeValidator(_lower)] = Field(
        "ec256",
        validation_alias="CERTWORKER_KEY_TYPE",
        description="ec256, ec384, rsa2048, rsa3072 or rsa4096",
    )
    profile: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = Field(
        None,
        validation_alias="CERTWORKER_PROFILE",
        description="the name of one of the CA's profiles, for example shortlived",
    )
    #: The CA is one's own: private addresses and suffixes are allowed.
    private_network: Annotated[bool, BeforeValidator(_lower)] = Field(
        False, validation_alias="CERTWORKER_PRIVATE_NETWORK", description="true or false"
    )
    #: Where our own checks knock; a public CA always knocks at 80.
    http01_port: Port = Field(
        80, validation_alias="CERTWORKER_HTTP01_PORT", description="a number from 1 to 65535, for example 80"
    )
    log: Annotated[Literal["human", "json"], BeforeValidator(_lower)] = Field(
        "human", validation_alias="CERTWORKER_LOG", description="human or json"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", validation_alias="CERTWORKER_LOG_LEVEL", description="debug, info, warning or error"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """
        The one source is what :func:`load` hands over, so that a test needs no environment of its own.
        """
        return (init_settings,)

    @property
    def authority(self) -> AuthorityChoice:
        """
        The CA that signs.
        """
        if self.authority_name.lower() == "auto":
            return AuthorityChoice.named("letsencrypt" if self.production else "development")
        return AuthorityChoice.named(self.authority_name, private_network=self.private_network)

    @property
    def email_remark(self) -> str | None:
        """
        What is odd about the two variables for the e-mail address, if anything is.
        """
        if self.older_email and self.older_email != self.email:
            return "_APP_EMAIL_CERTIFICATES and _APP_SYSTEM_SECURITY_EMAIL_ADDRESS differ; the first one is used."
        if self.email == "certs@appwrite.io":
            return "The e-mail address is Appwrite's default: nobody here would read it. Set _APP_EMAIL_CERTIFICATES."
        return None


def load(environ: Mapping[str, str]) -> Settings:
    """
    The settings in *environ*. An empty variable means its default; spaces and quotes around a value do not count.

    Raises:
        InvalidSettings: Names every wrong variable with what it allows.
    """
    allowed = variables()
    given: dict[str, Any] = {name: _unquoted(value) for name, value in environ.items() if name in allowed}
    if password := environ.get(PASSWORD):
        given[PASSWORD] = password
    try:
        return Settings(**{name: value for name, value in given.items() if value})
    except ValidationError as error:
        wrong = dict.fromkeys(str(each["loc"][0]) for each in error.errors(include_input=False))
        raise InvalidSettings(
            [f"{name} must be {allowed[name]}" for name in wrong if name in allowed]
        ) from None


def variables() -> dict[str, str]:
    """
    Every variable that is read, with what it allows.
    """
    allowed: dict[str, str] = {}
    for field in Settings.model_fields.values():
        alias = field.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [alias]
        allowed |= {str(name): str(field.description) for name in names}
    return allowed
