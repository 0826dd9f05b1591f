"""
Every setting, and the variable it comes from.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from certworker.settings.appwrite import AppwriteSettings
from certworker.settings.ca import CaChoice, HttpAddress
from certworker.settings.dns import DnsSettings
from certworker.settings.notify import NotifySettings
from certworker.settings.parsers import (
    AUTO,
    AddressOrOff,
    AuthorityNames,
    Base64Url,
    CaBundle,
    CommaList,
    Directory,
    DirectoryOrOff,
    LimitsFile,
    Line,
    LowerCase,
    Port,
    Production,
    Profile,
    Slots,
    WebUrl,
    mail_addresses,
)
from certworker.settings.redis import RedisSettings
from certworker.settings.reload import ReloadSettings

#: As in :mod:`certworker.certificates`, which settings do not import: a test holds the two together.
KeyType = Literal["ec256", "ec384", "rsa2048", "rsa3072", "rsa4096"]


class Settings(AppwriteSettings, NotifySettings, RedisSettings, ReloadSettings, DnsSettings, BaseSettings):
    """
    The settings, each with the variable it comes from; the description says what that variable allows.
    """

    model_config = SettingsConfigDict(frozen=True, hide_input_in_errors=True, validate_default=False)

    #: Only production may use a public CA.
    production: Production = Field(
        False, validation_alias="_APP_ENV", description="production or development"
    )
    #: Asked for at every start, as they were written; none by default.
    domains: CommaList = Field(
        (),
        validation_alias="_APP_DOMAIN",
        description="names separated by commas, for example api.example.org",
    )
    #: The security e-mail, under the name it has had since Appwrite 1.5.1.
    newer_email: Line | None = Field(
        None, validation_alias="_APP_EMAIL_CERTIFICATES", description="an e-mail address"
    )
    #: The same, under the name most installations have.
    older_email: Line | None = Field(
        None, validation_alias="_APP_SYSTEM_SECURITY_EMAIL_ADDRESS", description="an e-mail address"
    )
    authority_names: AuthorityNames = Field(
        (AUTO,),
        validation_alias="CERTWORKER_AUTHORITY",
        description="auto, letsencrypt, letsencrypt-staging, development or the URL of an ACME directory, "
        "for example https://ca.example.org/acme/directory; or several, separated by commas",
    )
    #: What to trust when talking to these CAs; None: what the system trusts.
    ca_bundle: CaBundle | None = Field(
        None,
        validation_alias="CERTWORKER_CA_BUNDLE",
        description="the path of a PEM file that this user can read, for example /etc/ssl/my-ca.pem",
    )
    certificates_dir: Directory = Field(
        Path("/storage/certificates"),
        validation_alias="CERTWORKER_CERTIFICATES_DIR",
        description="a directory, for example /storage/certificates",
    )
    config_dir: Directory = Field(
        Path("/storage/config"),
        validation_alias="CERTWORKER_CONFIG_DIR",
        validate_default=True,
        description="a directory of its own, for example /storage/config",
    )
    #: Account keys, the development root, orders under way.
    state_dir: Directory = Field(
        default_factory=lambda known: known["certificates_dir"] / ".certworker",
        validation_alias="CERTWORKER_STATE_DIR",
        description="a directory of its own, for example /storage/state",
    )
    #: Challenge answers, health, metrics; None: no port at all.
    http_address: AddressOrOff = Field(
        HttpAddress("0.0.0.0", 8080),  # noqa: S104 (in a container, where the compose file decides)
        validation_alias="CERTWORKER_HTTP_ADDRESS",
        description="an address with a port, for example 0.0.0.0:8080 or [::]:8080; or off",
    )
    #: Where metrics are served instead, so that whoever reaches the challenges does not reach them.
    metrics_address: AddressOrOff = Field(
        default_factory=lambda known: known["http_address"],
        validation_alias="CERTWORKER_METRICS_ADDRESS",
        description="an address with a port, for example 127.0.0.1:8081; or off",
    )
    #: Who shows the certificates; None: nobody is asked whether they are shown.
    proxy_address: AddressOrOff = Field(
        HttpAddress("traefik", 443),
        validation_alias="CERTWORKER_PROXY_ADDRESS",
        description="an address with a port, for example traefik:443; or off",
    )
    #: Where challenge files are also laid, for a core that serves them.
    webroot: DirectoryOrOff = Field(
        default_factory=lambda known: known["certificates_dir"],
        validation_alias="CERTWORKER_WEBROOT",
        description="a directory, for example /storage/certificates; or off",
    )
    #: Jobs at a time.
    concurrency: Slots = Field(
        16,
        validation_alias="CERTWORKER_CONCURRENCY",
        description="a number from 1 to 1024, for example 16",
    )
    key_type: Annotated[KeyType, LowerCase] = Field(
        "ec256",
        validation_alias="CERTWORKER_KEY_TYPE",
        description="ec256, ec384, rsa2048, rsa3072 or rsa4096",
    )
    profile: Profile | None = Field(
        None,
        validation_alias="CERTWORKER_PROFILE",
        description="the name of one of the CA's profiles, for example shortlived",
    )
    #: Which of the CA's chains to take, where it has several.
    preferred_chain: Line | None = Field(
        None,
        validation_alias="CERTWORKER_PREFERRED_CHAIN",
        description="the common name of a root of the CA, for example ISRG Root X2",
    )
    #: The account on the CA's web site that ours is bound to, where the CA wants that.
    eab_kid: Line | None = Field(
        None,
        validation_alias="CERTWORKER_EAB_KID",
        description="the key id that the CA's web site shows",
    )
    eab_hmac_key: Base64Url | None = Field(
        None,
        validation_alias="CERTWORKER_EAB_HMAC_KEY",
        validate_default=True,
        description="the HMAC key that the CA's web site shows, in base64url; and CERTWORKER_EAB_KID be set",
    )
    #: What a CA has granted beyond its usual limits.
    limits_file: LimitsFile | None = Field(
        None,
        validation_alias="CERTWORKER_LIMITS_FILE",
        description='the path of a JSON file such as {"letsencrypt": {"orders_per_account": "3000/3h"}}',
    )
    #: The CA is one's own: private addresses and suffixes are allowed.
    private_network: bool = Field(
        False, validation_alias="CERTWORKER_PRIVATE_NETWORK", description="true or false"
    )
    #: Where our own checks knock; a public CA always knocks at 80.
    http01_port: Port = Field(
        80, validation_alias="CERTWORKER_HTTP01_PORT", description="a number from 1 to 65535, for example 80"
    )
    log: Annotated[Literal["human", "json"], LowerCase] = Field(
        "human", validation_alias="CERTWORKER_LOG", description="human or json"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], LowerCase] = Field(
        "info", validation_alias="CERTWORKER_LOG_LEVEL", description="debug, info, warning or error"
    )

    #: The site of the documentation; None: failures name the command that prints the page.
    docs_url: WebUrl | None = Field(
        None,
        validation_alias="CERTWORKER_DOCS_URL",
        description="a URL that begins with https:// or http://, for example https://docs.example.org",
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

    @field_validator("config_dir", "state_dir")
    @classmethod
    def _is_of_its_own(cls, value: Path, known: ValidationInfo) -> Path:
        # Each directory under the certificates is a name, and Traefik reads whatever is put beside its files.
        if value in (known.data.get("certificates_dir"), known.data.get("config_dir")):
            raise ValueError("something else lies there")
        return value

    @field_validator("eab_hmac_key")
    @classmethod
    def _stands_beside_its_id(cls, value: SecretStr | None, known: ValidationInfo) -> SecretStr | None:
        if (value is None) != (known.data.get("eab_kid") is None):
            raise ValueError("one is of no use without the other")
        return value

    @property
    def fingerprint(self) -> str:
        """
        A digest of all settings but the secrets: it tells one configuration from another.
        """
        return sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def authorities(self) -> tuple[CaChoice, ...]:
        """
        The CAs that may sign, the one that is asked first at the head.
        """
        return tuple(dict.fromkeys(map(self._authority, self.authority_names)))

    @property
    def authority(self) -> CaChoice:
        """
        The CA that is asked first.
        """
        return self.authorities[0]

    def _authority(self, name: str) -> CaChoice:
        if name.lower() == AUTO:
            return CaChoice.named("letsencrypt" if self.production else "development")
        return CaChoice.named(name, private_network=self.private_network)

    @property
    def email(self) -> str | None:
        """
        The contact that the CA is told; whether it is good is judged when a public CA is asked.
        """
        return self.newer_email or self.older_email

    @property
    def mail_recipients(self) -> tuple[str, ...]:
        """
        Who gets the notifications by mail: the contact. It is checked where there is a mail server.
        """
        return mail_addresses(self.email or "")

    @property
    def email_remark(self) -> tuple[str, str] | None:
        """
        What is odd about the two variables for the e-mail address, and the remedy; None if nothing is.
        """
        if self.older_email and self.older_email != self.email:
            return (
                "_APP_EMAIL_CERTIFICATES and _APP_SYSTEM_SECURITY_EMAIL_ADDRESS differ; the first is used.",
                "Remove the second one from .env.",
            )
        if self.email == "certs@appwrite.io":
            return (
                "The e-mail address for certificates is Appwrite's default, which nobody here reads.",
                "Set _APP_EMAIL_CERTIFICATES=you@yourdomain",
            )
        return None
