"""
Tests that each value of each variable is either usable or refused with a remedy.
"""

from __future__ import annotations

from collections.abc import Iterator
from email.policy import SMTP, SMTPUTF8
from urllib.parse import urlsplit

import dns.tsig
from hypothesis import given, settings
from hypothesis import strategies as st

from certworker.acme.http_pool import pool_for
from certworker.errors.config import InvalidSettings
from certworker.notify import webhook
from certworker.notify.email import Mailer, MailServer
from certworker.settings import Settings, load, variables
from tests.notify.test_message import FAILED

#: Values that are valid for some variable. The test sets each of them, also changed, in every variable.
VALID = [
    *(
        "production",
        "auto",
        "off",
        "true",
        "json",
        "ec256",
        "tls",
        "16",
        "443",
        "localhost",
        "/etc",
        "/dev/null",
    ),
    *("api.example.org", "a.org, b.org", "my_redis", "127.0.0.1", "[2001:db8::1]:8080", "traefik:443", "::1"),
    *("https://ca.example.org/acme/directory", "http://me:w%C3%B6rd@[2001:db8::7]:8443/h\u00f6k?a=b#c"),
    *("redis://me:word@redis:6380/1", "rediss://redis?ssl_ca_certs=/dev/null", "redis+sentinel://a,b:1/main"),
    *(
        "ops@example.org",
        "b\u00fccher@b\u00fccher.example",
        "My%20Appwrite",
        "nginx:HUP,mail:exec:reload 'a b'",
    ),
    *("tcp://socket-proxy:2375", "unix:///var/run/docker.sock", "8.8.8.8, 127.0.0.1:5353", "v1-certificates"),
]

#: Texts that the test inserts into a value: pasted, escaped, cut off or of another alphabet.
ODD = [
    *(
        "\n",
        "\r\nBcc: a@b",
        "%0A",
        "%00",
        "\t",
        " ",
        "\u2028",
        "\u00a0",
        "\x7f",
        "\x1b[2J",
        "\udcff",
        "\ud800",
    ),
    *("..", "@", "%", ":", "[", "]", "//", "\\", "'", '"', ",", "#", "?", "\u0663", "\u00fc", "\U0001f600"),
    *("x" * 64, "99999", "-1", "%zz", "%eth0", "{", "$HOME"),
]


#: Values that are valid only for these variables.
OWN = {
    "_APP_EMAIL_CERTIFICATES": [
        "ops@example.org",
        "b\u00fccher@b\u00fccher.example, dev@example.org",
        "nonsense",
    ],
    "_APP_SYSTEM_EMAIL_ADDRESS": ["certworker@localhost", "b\u00fccher@b\u00fccher.example"],
    "_APP_SYSTEM_EMAIL_NAME": ["My%20Appwrite", "B\u00fccher, and more"],
    "CERTWORKER_NOTIFY_URL": ["https://me:w%C3%B6rd@[2001:db8::7]:8443/h\u00f6k?a=b#c", "http://hooks/x"],
    "CERTWORKER_REDIS_URL": ["redis://me:word@redis:6380/1", "redis+sentinel://a,[::1]:1/main/3"],
    "CERTWORKER_DOCKER_HOST": ["tcp://socket-proxy:2375", "unix:///var/run/docker.sock"],
    "CERTWORKER_RELOAD": ["nginx:HUP,mail:exec:reload 'a b'"],
    "CERTWORKER_DNS01_PROVIDER": [
        "rfc2136@a.org, exec@b.org, httpreq@_acme-challenge.c.org, acme-dns@d.org, lexicon:cloudflare",
        *("rfc2136", "httpreq", "exec,exec"),
    ],
    "CERTWORKER_DNS01_NAMES": ["all", "internal.example.com, b\u00fccher.example"],
    "RFC2136_NAMESERVER": ["ns1.example.com", "[2001:db8::53]:5353"],
    "RFC2136_TSIG_KEY": ["acme.example.com."],
    "RFC2136_TSIG_SECRET": ["c2VjcmV0"],
    "RFC2136_TSIG_ALGORITHM": ["hmac-sha512", "HMAC-MD5.SIG-ALG.REG.INT."],
    "HTTPREQ_ENDPOINT": ["https://dns.example.com/api", "http://[::1]:8080"],
    "ACME_DNS_API_BASE": ["http://acme-dns"],
    "CERTWORKER_AUTHORITY": ["https://ca.example.org:14000/acme/directory, letsencrypt"],
}

#: The variables of dns-lexicon have no fixed names.
LEXICON = "LEXICON_CLOUDFLARE_*"


@st.composite
def environments(draw: st.DrawFn) -> dict[str, str]:
    """
    Draw some variables, each with a valid value, a changed one, or any text.
    """
    environ = draw(st.sampled_from([{}, {"_APP_SMTP_HOST": "smtp.example.org"}])).copy()
    for name in draw(st.lists(st.sampled_from(sorted(variables())), max_size=8, unique=True)):
        value = draw(st.sampled_from(OWN.get(name, VALID)))
        for odd in draw(st.lists(st.sampled_from(ODD), max_size=2)):
            position = draw(st.integers(0, len(value)))
            value = value[:position] + odd + value[position + draw(st.integers(0, 2)) :]
        environ[name] = draw(st.just(value) | st.text(st.characters(exclude_characters="\0"), max_size=12))
    return environ


def used(loaded: Settings) -> Iterator[object]:
    """
    Yield everything that certworker derives from *loaded* before it makes a connection.
    """
    yield from (repr(loaded), loaded.authorities, loaded.redis, loaded.targets, loaded.email)
    yield str(loaded.redis).encode()
    yield str(loaded.proxy_address).encode(), str(loaded.http_address).encode()
    yield [str(reload).encode() for reload in loaded.reloads]
    yield pool_for("https://ca.example.org/", loaded.ca_bundle, 1)
    dns01 = loaded.dns01
    if dns01.rfc2136_nameserver:
        yield dns01.rfc2136_nameserver[0].encode("idna")
    if dns01.rfc2136_tsig_key and dns01.rfc2136_tsig_secret:
        secret = dns01.rfc2136_tsig_secret.get_secret_value()
        yield dns.tsig.Key(dns01.rfc2136_tsig_key, secret, dns01.rfc2136_tsig_algorithm)
    if dns01.httpreq_endpoint:
        yield pool_for(dns01.httpreq_endpoint, None, 1)
    if loaded.smtp_host:
        server = MailServer(loaded.smtp_host, 25, "", loaded.smtp_username, None)
        sender, recipients = loaded.mail_sender, loaded.mail_recipients
        mail = Mailer(server, sender, loaded.mail_sender_name, recipients)._message([FAILED])
        yield mail.as_bytes(policy=SMTP if "".join([sender, *recipients]).isascii() else SMTPUTF8)
    if loaded.notify_url:
        target = urlsplit(loaded.notify_url)
        yield webhook._request_target(target).encode("ascii")
        headers = webhook.Webhook(loaded.notify_url, None, private=True)._headers(target, b"")
        yield [value.encode("latin-1") for value in headers.values()]


@given(environments())
@settings(max_examples=300)
def test_each_value_is_usable_or_refused_with_a_remedy(environ: dict[str, str]) -> None:
    """
    Settings load and are usable, or they are refused with findings and a remedy.

    An exception of another class would end a command with a traceback.
    """
    refused, loaded = attempt(environ)
    if loaded:
        assert list(used(loaded))
    else:
        assert refused
        assert refused.findings
        assert {finding.partition(" ")[0] for finding in refused.findings} <= variables().keys() | {LEXICON}
        assert refused.remedy.endswith("docker compose up -d")
        assert str(refused).isprintable()


def attempt(environ: dict[str, str]) -> tuple[InvalidSettings | None, Settings | None]:
    """
    Return the failure or the settings.
    """
    try:
        return None, load(environ)
    except InvalidSettings as failure:
        return failure, None
