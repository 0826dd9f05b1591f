"""
Every setting, with its variable, its default and the allowed values.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import SecretStr, ValidationInfo, field_validator
from pydantic.types import StringConstraints

from certworker.hosts import HttpAddress
from certworker.redis.url import RedisURL
from certworker.settings.ca import CaChoice
from certworker.settings.customers import CustomerSettings
from certworker.settings.dns01 import Dns01Settings
from certworker.settings.fields import SettingGroup, Unusable, setting
from certworker.settings.parsers import (
    AUTO,
    AddressOrOff,
    AuthorityNames,
    Base64Url,
    CaBundle,
    CommaList,
    Directory,
    DirectoryOrOff,
    EncodedLine,
    EngineAddress,
    HostName,
    LimitsFile,
    Line,
    LowerCase,
    MailAddress,
    MetricsPerName,
    NameServers,
    Port,
    Production,
    Profile,
    Program,
    RedisUrl,
    Reloads,
    Slots,
    WebUrl,
    mail_addresses,
)
from certworker.settings.reload import SIGNALS
from certworker.settings.replication import ReplicationSettings
from certworker.settings.web import WebSettings

#: The same as in :mod:`certworker.certificates`, which settings do not import. A test compares the two.
KeyType = Literal["ec256", "ec384", "rsa2048", "rsa3072", "rsa4096"]

#: The values that Appwrite passes if no target is set.
UNSET_TARGETS = frozenset({"localhost", "127.0.0.1", "::1"})


class Settings(SettingGroup):
    """
    All settings of certworker.
    """

    # Start

    #: Only production may use a public CA.
    production: Production = setting("_APP_ENV", "production or development", False)
    #: The names to request at every start, as the operator wrote them.
    domains: CommaList = setting(
        "_APP_DOMAIN", "names separated by commas, for example api.example.org", default=()
    )

    # Redis

    redis_host: HostName = setting("_APP_REDIS_HOST", "a bare host name, for example redis", "redis")
    redis_port: Port = setting("_APP_REDIS_PORT", "a number from 1 to 65535, for example 6379", 6379)
    redis_user: Line | None = setting("_APP_REDIS_USER", "a user name")
    redis_password: SecretStr | None = setting("_APP_REDIS_PASS", "a password", in_file=True)
    #: Overrides the four settings above: Compose files pass on all of them, even unset ones.
    redis_url: RedisUrl | None = setting(
        "CERTWORKER_REDIS_URL",
        "redis://USER:PASSWORD@HOST:PORT/DB, rediss://… for TLS, or "
        "redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/DB, with the special characters of a password "
        "percent-encoded (@ is %40), and must name only files that this user can read",
        in_file=True,
    )

    # CA and certificates

    authority_names: AuthorityNames = setting(
        "CERTWORKER_AUTHORITY",
        "auto, letsencrypt, letsencrypt-staging, development or the URL of an ACME directory, "
        "for example https://ca.example.org/acme/directory; or several, separated by commas",
        (AUTO,),
    )
    #: The roots for these CAs; None: those of the system and of Mozilla. httpreq and acme-dns use them, too.
    ca_bundle: CaBundle | None = setting(
        "CERTWORKER_CA_BUNDLE",
        "the path of a PEM file that this user can read, for example /etc/ssl/my-ca.pem",
    )
    key_type: Annotated[KeyType, LowerCase] = setting(
        "CERTWORKER_KEY_TYPE", "ec256, ec384, rsa2048, rsa3072 or rsa4096", "ec256"
    )
    profile: Profile | None = setting(
        "CERTWORKER_PROFILE", "the name of one of the CA's profiles, for example shortlived"
    )
    #: The chain to use, if the CA offers several.
    preferred_chain: Line | None = setting(
        "CERTWORKER_PREFERRED_CHAIN", "the common name of a root of the CA, for example ISRG Root X2"
    )
    #: External account binding, if the CA requires it: the account on its website (RFC 8555, section 7.3.4).
    eab_kid: Line | None = setting("CERTWORKER_EAB_KID", "the key id that the CA's website shows")
    eab_hmac_key: Base64Url | None = setting(
        "CERTWORKER_EAB_HMAC_KEY",
        "the HMAC key that the CA's website shows, in base64url, and CERTWORKER_EAB_KID must be set",
        checked=True,
        in_file=True,
    )
    #: Higher limits that a CA has granted.
    limits_file: LimitsFile | None = setting(
        "CERTWORKER_LIMITS_FILE",
        'the path of a JSON file with content such as {"letsencrypt": {"orders_per_account": "3000/3h"}}',
    )

    # Directories

    certificates_dir: Directory = setting(
        "CERTWORKER_CERTIFICATES_DIR",
        "a directory, for example /storage/certificates",
        Path("/storage/certificates"),
    )
    config_dir: Directory = setting(
        "CERTWORKER_CONFIG_DIR",
        "a directory of its own, for example /storage/config",
        Path("/storage/config"),
        checked=True,
    )
    #: Whether each name has a file of its own for Traefik; auto: up to 1,000 names.
    traefik_layout: Annotated[Literal["auto", "per-name", "sharded"], LowerCase] = setting(
        "CERTWORKER_TRAEFIK_LAYOUT", "auto, per-name or sharded", "auto"
    )
    #: Account keys, keys of pending orders, TXT records to delete, files of the page, and the development CA.
    state_dir: Directory = setting(
        "CERTWORKER_STATE_DIR",
        "a directory of its own, for example /storage/state",
        factory=lambda known: known["certificates_dir"] / ".certworker",
    )
    #: The directory for challenge files, for an application that serves them.
    webroot: DirectoryOrOff = setting(
        "CERTWORKER_WEBROOT",
        "a directory, for example /storage/certificates; or off",
        factory=lambda known: known["certificates_dir"],
    )

    # HTTP and the proxy

    #: The address for challenge responses and health; None: no such server.
    http_address: AddressOrOff = setting(
        "CERTWORKER_HTTP_ADDRESS",
        "an address with a port, for example 0.0.0.0:8080 or [::]:8080; or off",
        HttpAddress("0.0.0.0", 8080),  # noqa: S104 (in a container, where the compose file decides)
    )
    #: The address for the metrics; by default, that of the challenge responses. Another one can be private.
    metrics_address: AddressOrOff = setting(
        "CERTWORKER_METRICS_ADDRESS",
        "an address with a port, for example 127.0.0.1:8081; or off",
        factory=lambda known: known["http_address"],
    )
    #: The maximum number of names with certificate times in the metrics: those that expire first.
    metrics_per_name: MetricsPerName = setting(
        "CERTWORKER_METRICS_PER_NAME", "a number from 0 to 50000, for example 100", 0
    )
    #: The proxy that serves the certificates; None: no deployment check.
    proxy_address: AddressOrOff = setting(
        "CERTWORKER_PROXY_ADDRESS",
        "an address with a port, for example traefik:443; or off",
        HttpAddress("traefik", 443),
    )

    # Page and API

    web: WebSettings = WebSettings()

    # Preflight

    #: Whether the CA is private, so that private addresses and suffixes are allowed.
    private_network: bool = setting("CERTWORKER_PRIVATE_NETWORK", "true or false", False)
    #: The port to which the checks and the development CA connect; a public CA always uses 80.
    http01_port: Port = setting("CERTWORKER_HTTP01_PORT", "a number from 1 to 65535, for example 80", 80)
    #: The resolvers of the checks and of DNS-01, each an address and a port.
    name_servers: NameServers = setting(
        "_APP_DNS",
        "addresses separated by commas, for example 8.8.8.8 or 127.0.0.1:5353",
        (("8.8.8.8", 53),),
    )
    # An invalid target is only a warning: certworker ignores the value and reports it.
    target_cname: Line | None = setting(
        "_APP_DOMAIN_TARGET_CNAME", "a public name, for example api.example.org"
    )
    #: The same as the variable above, before Appwrite 1.7.
    older_target: Line | None = setting("_APP_DOMAIN_TARGET", "a public name, for example api.example.org")
    target_a: Line | None = setting("_APP_DOMAIN_TARGET_A", "the public IPv4 address of this server")
    target_aaaa: Line | None = setting("_APP_DOMAIN_TARGET_AAAA", "the public IPv6 address of this server")
    target_caa: Line | None = setting(
        "_APP_DOMAIN_TARGET_CAA", "the CA that CAA records should allow, for example letsencrypt.org"
    )

    # DNS-01

    dns01: Dns01Settings = Dns01Settings()

    # Customers' domains

    customers: CustomerSettings = CustomerSettings()

    # Jobs and log

    #: The maximum number of jobs at a time.
    concurrency: Slots = setting("CERTWORKER_CONCURRENCY", "a number from 1 to 1024, for example 16", 16)
    log: Annotated[Literal["human", "json"], LowerCase] = setting("CERTWORKER_LOG", "human or json", "human")
    log_level: Annotated[Literal["debug", "info", "warning", "error"], LowerCase] = setting(
        "CERTWORKER_LOG_LEVEL", "debug, info, warning or error", "info"
    )
    #: The site of the documentation; None: failures name the command that prints the page.
    docs_url: WebUrl | None = setting(
        "CERTWORKER_DOCS_URL",
        "a URL that begins with https:// or http://, for example https://docs.example.org",
    )

    # Notifications

    #: None: certworker sends no mail.
    smtp_host: HostName | None = setting("_APP_SMTP_HOST", "a bare host name, for example smtp.example.org")
    smtp_port: Port = setting("_APP_SMTP_PORT", "a number from 1 to 65535, for example 587", 25)
    smtp_secure: Annotated[Literal["", "tls", "ssl"], LowerCase] = setting(
        "_APP_SMTP_SECURE", "tls (STARTTLS), ssl, or empty", ""
    )
    smtp_username: Line | None = setting("_APP_SMTP_USERNAME", "a user name")
    smtp_password: SecretStr | None = setting("_APP_SMTP_PASSWORD", "a password", in_file=True)
    #: The contact of the account at the CA, and the recipient of notifications. Since Appwrite 1.5.1.
    newer_email: Line | None = setting("_APP_EMAIL_CERTIFICATES", "an e-mail address")
    #: The same, before Appwrite 1.5.1.
    older_email: Line | None = setting("_APP_SYSTEM_SECURITY_EMAIL_ADDRESS", "an e-mail address")
    mail_sender: MailAddress = setting(
        "_APP_SYSTEM_EMAIL_ADDRESS",
        "one e-mail address, for example certworker@example.org",
        "certworker@localhost",
    )
    mail_sender_name: EncodedLine = setting(
        "_APP_SYSTEM_EMAIL_NAME", "a name on one line; it may be URL-encoded", "certworker"
    )
    #: The receiver of notifications as JSON.
    notify_url: WebUrl | None = setting(
        "CERTWORKER_NOTIFY_URL",
        "a URL that begins with https:// or http://, with a host of letters, digits, dots and "
        "hyphens, or an IPv6 address in brackets",
    )
    notify_secret: SecretStr | None = setting(
        "CERTWORKER_NOTIFY_SECRET", "the secret that signs the notifications", in_file=True
    )

    # Other hosts

    replication: ReplicationSettings = ReplicationSettings()

    # Appwrite

    #: Whether certworker processes the messages of Appwrite; auto: after the first message.
    appwrite: Annotated[Literal["auto", "on", "off"], LowerCase] = setting(
        "CERTWORKER_APPWRITE", "auto, on or off", "auto"
    )
    appwrite_queue: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = setting(
        "_APP_CERTIFICATES_QUEUE_NAME", "the name of a queue, for example v1-certificates", "v1-certificates"
    )

    # Other servers

    #: The program that runs after each publication.
    deploy_hook: Program | None = setting(
        "CERTWORKER_DEPLOY_HOOK",
        "the absolute path of a program that this user may run, such as /usr/local/bin/deploy",
    )
    reloads: Reloads = setting(
        "CERTWORKER_RELOAD",
        f"NAME:SIGNAL ({', '.join(SIGNALS)}), NAME:restart, NAME:exec:COMMAND or "
        "haproxy+unix:///PATH, separated by commas, for example nginx:HUP,mail:restart",
        default=(),
    )
    #: Off by default: it needs the list of containers, which a socket proxy would have to allow.
    docker_labels: bool = setting("CERTWORKER_DOCKER_LABELS", "true or false", False)
    #: Not DOCKER_HOST, because Compose would pass on the value of the operator's shell.
    docker_host: EngineAddress = setting(
        "CERTWORKER_DOCKER_HOST",
        "an address that begins with tcp:// or unix:///, for example tcp://socket-proxy:2375",
        "unix:///var/run/docker.sock",
    )

    @field_validator("config_dir", "state_dir")
    @classmethod
    def _is_separate(cls, value: Path, known: ValidationInfo) -> Path:
        # A visible subdirectory of certificates_dir counts as a name. Traefik reads every file in config_dir.
        if value in (known.data.get("certificates_dir"), known.data.get("config_dir")):
            raise ValueError("another setting has the same directory")
        return value

    @field_validator("eab_hmac_key")
    @classmethod
    def _has_a_key_id(cls, value: SecretStr | None, known: ValidationInfo) -> SecretStr | None:
        if (value is None) != (known.data.get("eab_kid") is None):
            raise ValueError("one is invalid without the other")
        return value

    @field_validator("newer_email", "older_email")
    @classmethod
    def _gets_mail(cls, value: str, known: ValidationInfo) -> str:
        # Without a mail server, only the CA uses the address, and an order from a public CA checks it. The
        # data lacks invalid settings, which count as set.
        has_mail = known.data.get("smtp_host", True)
        is_used = known.field_name == "newer_email" or known.data.get("newer_email", True) is None
        if has_mail and is_used:
            try:
                mail_addresses(value)
            except ValueError:
                raise Unusable("mail cannot be sent there, and _APP_SMTP_HOST is set") from None
        return value

    @property
    def own_names(self) -> dict[str, str]:
        """
        Return the names to request at each start, as the operator wrote them, each with its variable.
        """
        return {**dict.fromkeys(self.domains, "_APP_DOMAIN"), **self.dns01.own_wildcards}

    @property
    def fingerprint(self) -> str:
        """
        Return a digest that identifies the settings. It does not depend on the value of a :class:`SecretStr`.
        """
        return sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def redis(self) -> RedisURL:
        """
        Return the address of Redis, with user and password.
        """
        if self.redis_url:
            return RedisURL.parse(self.redis_url.get_secret_value())
        password = self.redis_password.get_secret_value() if self.redis_password else None
        return RedisURL(((self.redis_host, self.redis_port),), self.redis_user, password)

    @property
    def authorities(self) -> tuple[CaChoice, ...]:
        """
        Return the configured CAs, in the order in which certworker tries them.
        """
        return tuple(dict.fromkeys(map(self._authority, self.authority_names)))

    @property
    def authority(self) -> CaChoice:
        """
        Return the first configured CA.
        """
        return self.authorities[0]

    def _authority(self, name: str) -> CaChoice:
        if name.lower() == AUTO:
            return CaChoice.named("letsencrypt" if self.production else "development")
        return CaChoice.named(name, private_network=self.private_network)

    @property
    def targets(self) -> dict[str, str]:
        """
        Return the targets of custom domains, by variable.
        """
        given = {
            "_APP_DOMAIN_TARGET_CNAME": self.target_cname,
            "_APP_DOMAIN_TARGET": self.older_target,
            "_APP_DOMAIN_TARGET_A": self.target_a,
            "_APP_DOMAIN_TARGET_AAAA": self.target_aaaa,
            "_APP_DOMAIN_TARGET_CAA": self.target_caa,
        }
        return {
            variable: value.lower().rstrip(".")
            for variable, value in given.items()
            if value and value.lower() not in UNSET_TARGETS
        }

    @property
    def email(self) -> str | None:
        """
        Return the contact of the account at the CA. An order from a public CA checks it.
        """
        return self.newer_email or self.older_email

    @property
    def mail_recipients(self) -> tuple[str, ...]:
        """
        Return the addresses in the contact. Without a mail server, an invalid address raises ValueError.
        """
        return mail_addresses(self.email or "")
