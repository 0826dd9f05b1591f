"""
Tests of the names and the tenant of a request.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from certworker.domains import (
    file_name,
    is_name,
    name_of_file,
    normalize,
    requested_names,
    tenant_of,
    warnings_for,
)
from certworker.errors import CertworkerError, Retry, Severity
from certworker.errors.payload import PayloadType

#: A label in DNS: letters, digits and hyphens.
LDH = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
LABEL_63 = "a" * 63
NAME_253 = ".".join([LABEL_63, LABEL_63, LABEL_63, "a" * 57, "org"])
#: The longest name that has 253 characters together with "_acme-challenge.".
LONGEST_BASE = ".".join([LABEL_63, LABEL_63, LABEL_63, "a" * 41, "org"])

ACCEPTED = [
    # row, given, name
    (1, "api.shop.org", "api.shop.org"),
    (2, "API.Shop.ORG", "api.shop.org"),
    (3, " api.shop.org\n", "api.shop.org"),
    (3, " " * 1019 + "a.org", "a.org"),
    (4, "api.shop.org.", "api.shop.org"),
    (14, "8.8.8.8", "8.8.8.8"),
    (14, " 8.8.8.8\n", "8.8.8.8"),
    (14, "８.8.8.8", "8.8.8.8"),
    (14, "[2606:4700::1111]", "2606:4700::1111"),
    (14, "2606:4700:0000::0:1111", "2606:4700::1111"),
    (14, "2606:4700::ABCD", "2606:4700::abcd"),
    (18, "foo.github.io", "foo.github.io"),
    (18, "github.io", "github.io"),
    (18, "x.duckdns.org", "x.duckdns.org"),
    (18, "1-2-3-4.sslip.io", "1-2-3-4.sslip.io"),
    (20, f"{LABEL_63}.org", f"{LABEL_63}.org"),
    (20, NAME_253, NAME_253),
    (21, "a.b.c.d.e.f.g.h.i.org", "a.b.c.d.e.f.g.h.i.org"),
    (22, "müller.de", "xn--mller-kva.de"),
    (22, "MÜLLER.DE", "xn--mller-kva.de"),
    (22, "mu\u0308ller.de", "xn--mller-kva.de"),
    (23, "аpple.com", "xn--pple-43d.com"),
    (24, "faß.de", "xn--fa-hia.de"),
    (25, "a。b.com", "a.b.com"),
    (25, "ａpi.shop.org", "api.shop.org"),
    (25, "ⓔxample.com", "example.com"),
    (26, "xn--e28h.com", "xn--e28h.com"),
    (28, "xn--mller-kva.de", "xn--mller-kva.de"),
    (28, "XN--MLLER-KVA.de", "xn--mller-kva.de"),
    (29, "ﬁ.org", "fi.org"),
    (50, "CON.org", "con.org"),
    (50, "aux.shop.org", "aux.shop.org"),
]

REFUSED = [
    # row, given, code
    (3, "api shop.org", "name.invalid_char"),
    (4, "api.shop.org..", "name.empty_label"),
    (5, "a..b.org", "name.empty_label"),
    (5, ".shop.org", "name.empty_label"),
    (6, "../../etc/passwd", "name.invalid_char"),
    (6, "..\\..\\x.org", "name.invalid_char"),
    (6, "/etc/x.org", "name.invalid_char"),
    (6, "／etc.org", "name.invalid_char"),
    (7, "..", "name.empty"),
    (7, ".", "name.empty"),
    (7, "", "name.empty"),
    (7, "   ", "name.empty"),
    (8, "x.org; rm -rf /", "name.invalid_char"),
    (8, "$(id).org", "name.invalid_char"),
    (8, "`id`.org", "name.invalid_char"),
    (8, "x.org && curl", "name.invalid_char"),
    (8, "x.org|y", "name.invalid_char"),
    (9, "-d.evil.org", "name.invalid_char"),
    (9, "--config=/x.org", "name.invalid_char"),
    (9, "evil-.org", "name.invalid_char"),
    (10, '{{ env "X" }}.org', "name.invalid_char"),
    (10, "x.org\n  evil: 1", "name.invalid_char"),
    (10, "x: y.org", "name.invalid_char"),
    (10, "x#.org", "name.invalid_char"),
    (11, "https://api.shop.org/", "name.is_url"),
    (11, "http://x.org", "name.is_url"),
    (12, "api.shop.org:443", "name.has_port"),
    (12, "user@shop.org", "name.invalid_char"),
    (12, "shop.org/path?x", "name.is_url"),
    (13, "*.shop.org", "name.wildcard"),
    (13, "＊.shop.org", "name.wildcard"),
    (13, "*", "name.invalid_char"),
    (13, "*.", "name.invalid_char"),
    (13, "a.*.org", "name.invalid_char"),
    (13, "*.*.org", "name.invalid_char"),
    (13, "shop.org.*", "name.invalid_char"),
    (13, "a*.shop.org", "name.invalid_char"),
    (13, "**.shop.org", "name.invalid_char"),
    (13, "*..shop.org", "name.empty_label"),
    (13, "*.-a.shop.org", "name.invalid_char"),
    (13, "*./etc/passwd", "name.invalid_char"),
    (13, "_.shop.org", "name.invalid_char"),
    (13, "*.shop.org:443", "name.has_port"),
    (13, "https://*.shop.org/", "name.is_url"),
    (13, "*.203.0.113.7", "name.ip_address"),
    (13, "*.2606:4700::1111", "name.invalid_char"),
    (13, "*.[2606:4700::1111]", "name.invalid_char"),
    (13, "*.com", "name.wildcard_of_suffix"),
    (13, "*.co.uk", "name.wildcard_of_suffix"),
    (13, "*.xn--p1ai", "name.wildcard_of_suffix"),
    (13, "*.local", "name.no_public_suffix"),
    (13, "*.localhost", "name.no_public_suffix"),
    (13, "*.nosuchsuffix", "name.no_public_suffix"),
    (13, "*.ab--cd.org", "name.bad_idn"),
    (13, f"*.a{LABEL_63}.org", "name.too_long"),
    (13, f"*.{NAME_253}", "name.too_long"),
    (13, "*.a.b.c.d.e.f.g.h.i.j.org", "name.too_many_labels"),
    (14, "203.0.113.7", "name.ip_address"),
    (14, "203.0.113.7.", "name.ip_address"),
    (14, "8.8.8.8.", "name.ip_address"),
    (14, "8.8.8.8:443", "name.has_port"),
    (14, "http://8.8.8.8/", "name.is_url"),
    (14, "010.8.8.8", "name.ip_address"),
    (14, "10.0.0.1", "name.ip_address"),
    (14, "100.64.0.1", "name.ip_address"),
    (14, "169.254.169.254", "name.ip_address"),
    (14, "224.0.0.1", "name.ip_address"),
    (14, "255.255.255.255", "name.ip_address"),
    (14, "[2001:db8::1]", "name.ip_address"),
    (14, "[2606:4700::1111]:443", "name.has_port"),
    (14, "[8.8.8.8]", "name.invalid_char"),
    (14, "::", "name.ip_address"),
    (14, "::1", "name.ip_address"),
    (14, "fd00::1", "name.ip_address"),
    (14, "fe80::1%eth0", "name.ip_address"),
    (14, "ff02::1", "name.ip_address"),
    (14, "2606:4700::1111%../x", "name.invalid_char"),
    (14, "::ffff:8.8.8.8", "name.ip_address"),
    (14, "2002:808:808::1", "name.ip_address"),
    (14, "64:ff9b::8.8.8.8", "name.ip_address"),
    (14, "0x7f.1", "name.ip_address"),
    (14, "x.0x7f", "name.ip_address"),
    (14, "127.1", "name.ip_address"),
    (14, "１２７.１", "name.ip_address"),
    (14, "3405803783", "name.ip_address"),
    (15, "localhost", "config.domain_localhost"),
    (15, "localhost.", "config.domain_localhost"),
    (15, "server", "name.single_label"),
    *((16, f"x.{suffix}", "name.no_public_suffix") for suffix in ["local", "internal", "lan", "home.arpa"]),
    *((16, f"x.{suffix}", "name.no_public_suffix") for suffix in ["test", "example", "invalid", "onion"]),
    *((16, f"x.{suffix}", "name.no_public_suffix") for suffix in ["localhost", "alt", "corp", "home"]),
    (16, "x.nosuchsuffix", "name.no_public_suffix"),
    (17, "co.uk", "name.is_public_suffix"),
    (17, "com", "name.is_public_suffix"),
    (17, "org.", "name.is_public_suffix"),
    (19, "foo_bar.shop.org", "name.invalid_char"),
    (20, f"a{LABEL_63}.org", "name.too_long"),
    (20, f"{'ü' * 60}.org", "name.too_long"),
    (20, f"a{NAME_253}", "name.too_long"),
    (20, f"b.{NAME_253}", "name.too_long"),
    (20, NAME_253.replace("a.org", "aa.org"), "name.too_long"),
    (20, " " * 1020 + "a.org", "name.too_long"),
    (20, "a" * 65_536, "name.too_long"),
    (21, "a.b.c.d.e.f.g.h.i.j.org", "name.too_many_labels"),
    (26, "☃.net", "name.bad_idn"),
    (26, "😀.com", "name.bad_idn"),
    (27, "xn--zz.com", "name.bad_idn"),
    (27, "xn--a.org", "name.bad_idn"),
    (27, "xn--.org", "name.bad_idn"),
    (27, "ab--cd.org", "name.bad_idn"),
    (29, "a\u200db.com", "name.bad_idn"),
    (29, "x\u202eorg", "name.invalid_char"),
    (29, "x\ufeff.org", "name.invalid_char"),
    (29, "\u00adx.org", "name.invalid_char"),
    (29, "☃\ufe0f.net", "name.invalid_char"),
    (30, "x.org\u0000.evil.com", "name.invalid_char"),
    (31, "x.org\r\nERROR fake line", "name.invalid_char"),
    (31, "x.org\x85ERROR fake line", "name.invalid_char"),
    (32, "\x1b[31mx.org", "name.invalid_char"),
    (33, ["a.org", "b.org"], "payload.type"),
    (34, {"domain": "x.org"}, "payload.type"),
    (35, 7, "payload.type"),
    (35, True, "payload.type"),
    (35, float("nan"), "payload.type"),
    (35, None, "payload.type"),
    (40, "a" * 65_537, "payload.too_large"),
    (40, "a" * 10_000_000, "payload.too_large"),
    (41, "x\ud800.org", "payload.encoding"),
    (49, "../x", "name.invalid_char"),
    (49, ".well-known", "name.empty_label"),
    (49, "accounts", "name.single_label"),
]

WORDS = {
    # given, a word that the result must have
    "foo_bar.shop.org": 'it contains "_"',
    "*.shop.org": "Set CERTWORKER_DNS01_PROVIDER",
    "*.Shop.org": "for example www.shop.org.",
    "a.*.shop.org": '"*" can only be the first part of a name',
    "*.co.uk": "*.example.co.uk",
    "*.shop.org:443": "Send it as *.shop.org.",
    "https://api.shop.org/": "Send it as api.shop.org.",
    "https://user:word@api.shop.org:8443/x": "Send it as api.shop.org.",
    "api.shop.org:443": "Send it as api.shop.org.",
    "api.shop.org..": "Send it as api.shop.org.",
    "8.8.8.8:443": "Send it as 8.8.8.8.",
    "[2606:4700::1111]:443": "Send it as 2606:4700::1111.",
    "127.1": "programs interpret it as an address",
    "10.0.0.1": "not the address of one machine on the Internet",
    "😀.com": "Send it as xn--e28h.com.",
    "x.org\u0000.evil.com": r"x.org\x00.evil.com",
    "x.org\r\nERROR fake line": r"x.org\r\nERROR fake line",
    "\x1b[31mx.org": r"\x1b[31mx.org",
    "x.org\x85": "a control character",
    "a" * 1025: "has 1025 characters",
    "x.local": "CERTWORKER_PRIVATE_NETWORK=true",
}

WARNINGS = [
    # given, a part of the warning
    (" api.shop.org\n", "spaces"),
    ("ａpi.shop.org", "plain forms"),
    ("a。b.com", "plain forms"),
    ("müller.de", "it reads müller.de"),
    ("xn--mller-kva.de", "it reads müller.de"),
    ("аpple.com", "mixes Cyrillic and Latin letters"),
    ("xn--pple-43d.com", "mixes Cyrillic and Latin letters"),
    ("xn--e28h.com", "IDNA 2008"),
    ("foo.github.io", "github.io belongs to others"),
    ("1-2-3-4.sslip.io", "share one weekly limit"),
]


def short(value: object) -> str:
    """
    Return *value* for the name of a test.
    """
    return ascii(value)[:30]


def refusal(value: object, *, private: bool = False, wildcards: bool = False) -> CertworkerError:
    """
    Return the failure of *value*.
    """
    try:
        name = normalize(value, private=private, wildcards=wildcards)
    except CertworkerError as failure:
        return failure
    pytest.fail(f"{short(value)} became {name}")


def result(value: object, *, private: bool = False, wildcards: bool = False) -> str:
    """
    Return the normalized name of *value*, or the text of its failure.
    """
    try:
        return normalize(value, private=private, wildcards=wildcards)
    except CertworkerError as failure:
        return str(failure)


class TestNormalize:
    def test_a_name_is_normalized(self) -> None:
        """
        Each name has one form, and so one directory, one lock and one key in Redis.
        """
        results = [(value, name, result(value)) for _, value, name in ACCEPTED]

        assert [] == [
            f"{short(value)}: {found}, not {name}" for value, name, found in results if found != name
        ]

    def test_a_name_that_no_ca_certifies_is_refused(self) -> None:
        """
        An invalid name is refused with its code, before the CA or a path gets it.
        """
        codes = [(value, code, refusal(value).code) for _, value, code in REFUSED]

        assert [] == [f"{short(value)}: {found}, not {code}" for value, code, found in codes if found != code]

    def test_a_failure_is_one_short_printable_line(self) -> None:
        """
        A hostile name cannot forge a log line or control a terminal.
        """
        messages = [str(refusal(value)) for _, value, _ in REFUSED]

        assert [] == [message for message in messages if not message.isprintable() or len(message) >= 1500]

    def test_a_failure_has_the_corrected_name(self) -> None:
        """
        The failure has the corrected name if certworker can derive it.
        """
        messages = {value: str(refusal(value)) for value in WORDS}

        assert {} == {value: words for value, words in WORDS.items() if words not in messages[value]}

    def test_a_failure_is_a_warning_without_a_retry(self) -> None:
        """
        An invalid name is a warning, and its request is not retried.
        """
        failure = refusal("foo_bar.shop.org")

        assert (failure.retry, failure.severity) == (Retry.NEVER, Severity.WARNING)

    @pytest.mark.parametrize("suffix", ["dev", "app", "page", "xn--p1ai", "co.uk"])
    def test_every_registered_suffix_is_accepted(self, suffix: str) -> None:
        """
        Each suffix of a registry is accepted, such as .dev.
        """
        assert normalize(f"shop.{suffix}") == f"shop.{suffix}"

    def test_joiners_remain_if_a_script_needs_them(self) -> None:
        """
        Joiners remain in names that need them, such as Persian ones (RFC 5892, appendix A).
        """
        assert normalize("نامه\u200cای.com") == "xn--mgba3gch31f060k.com"


class TestWildcards:
    @pytest.mark.parametrize(
        ("value", "name"),
        [
            ("*.shop.org", "*.shop.org"),
            (" *.Shop.ORG. ", "*.shop.org"),
            ("*.bücher.de", "*.xn--bcher-kva.de"),
            ("＊.shop.org", "*.shop.org"),
            ("*.github.io", "*.github.io"),
            ("*.b.c.d.e.f.g.h.i.j.org", "*.b.c.d.e.f.g.h.i.j.org"),
            (f"*.{LONGEST_BASE}", f"*.{LONGEST_BASE}"),
        ],
        ids=short,
    )
    def test_a_wildcard_is_accepted_with_a_provider(self, value: str, name: str) -> None:
        """
        With a DNS provider, a wildcard is accepted, and its base is normalized.
        """
        assert name == normalize(value, wildcards=True)
        assert is_name(name)

    @pytest.mark.parametrize(
        ("value", "code"), [(value, code) for row, value, code in REFUSED if row == 13], ids=short
    )
    def test_a_provider_affects_valid_wildcards_only(self, value: str, code: str) -> None:
        """
        With a DNS provider, invalid wildcards are still refused with the same codes.
        """
        if code == "name.wildcard":
            normalize(value, wildcards=True)
        else:
            assert code == refusal(value, wildcards=True).code

    def test_the_name_of_the_challenge_record_is_limited(self) -> None:
        """
        A wildcard is refused if the name of its challenge record is too long for DNS.
        """
        longer = f"*.{LONGEST_BASE.replace('.org', 'a.org')}"
        failure = refusal(longer, wildcards=True)

        assert "name.too_long" == failure.code
        assert "_acme-challenge" in failure.message
        assert not is_name(longer)

    @pytest.mark.parametrize("name", ["*.localhost", "*.web", "*.printer.internal"])
    def test_a_private_ca_certifies_private_wildcards(self, name: str) -> None:
        """
        For a private CA, a wildcard needs no public suffix.
        """
        assert name == normalize(name, private=True, wildcards=True)
        assert is_name(name)

    @pytest.mark.parametrize(
        "text", ["*", "*.", "*.*.shop.org", "a.*.org", "_.shop.org", "*.1.2.3.4", "*.SHOP.org", "*.a..b"]
    )
    def test_readers_accept_normalized_wildcards_only(self, text: str) -> None:
        """
        Only a normalized wildcard is a name for readers of Redis.
        """
        assert not is_name(text)


class TestPrivateNames:
    @pytest.mark.parametrize(
        "name",
        [
            "localhost",
            "demo.localhost",
            "web",
            "printer.internal",
            "x.home.arpa",
            "app",
            "api.shop.org",
            "127.0.0.1",
            "10.0.0.1",
            "::1",
            "fd00::1",
        ],
    )
    def test_a_private_ca_certifies_private_names(self, name: str) -> None:
        """
        For a private CA, names of services, localhost and private addresses are accepted.
        """
        assert normalize(name, private=True) == name

    @pytest.mark.parametrize(
        ("value", "code"),
        [
            ("../x", "name.invalid_char"),
            (".well-known", "name.empty_label"),
            (".certworker", "name.empty_label"),
            ("*.localhost", "name.wildcard"),
            ("127.1", "name.ip_address"),
            ("0x7f.0.0.1", "name.ip_address"),
            ("::", "name.ip_address"),
            ("fe80::1%eth0", "name.ip_address"),
            ("ff02::1", "name.ip_address"),
            ("my_service", "name.invalid_char"),
        ],
    )
    def test_a_private_ca_certifies_no_invalid_names(self, value: str, code: str) -> None:
        """
        For a private CA, paths and special addresses are refused, too.
        """
        assert refusal(value, private=True).code == code


class TestAnyText:
    @given(
        st.text() | st.from_regex(r"[a-z0-9A-Z.:/@*_-]{0,30}(\.org)?") | st.from_regex(r"(xn--)?\w{1,9}\.com")
    )
    @example("a.b。c．d｡org")
    @example("xn--ls8h.la")
    def test_any_text_is_a_safe_name_or_a_failure(self, text: str) -> None:
        """
        Any text leads to a failure, or to a name that is safe as a directory, in YAML and in Redis.
        """
        for private in (False, True):
            outcome = result(text, private=private, wildcards=True)
            assert outcome == result(text, private=private, wildcards=True)
            if outcome.startswith("["):
                assert outcome.isprintable()
            else:
                assert re.fullmatch(f"(\\*\\.)?{LDH}(\\.{LDH})*|[0-9a-f:]+", outcome)
                assert Path("/volume", file_name(outcome)).resolve().parent == Path("/volume")
                assert name_of_file(file_name(outcome)) == outcome
                assert normalize(outcome, private=private, wildcards=True) == outcome
                assert is_name(outcome)

    @given(st.text(min_size=1, max_size=12))
    def test_a_public_name_is_accepted_for_a_private_ca(self, label: str) -> None:
        """
        Each name that is accepted for a public CA is accepted for a private one.
        """
        try:
            name = normalize(f"{label}.example.org")
        except CertworkerError:
            return

        assert normalize(f"{label}.example.org", private=True) == name


class TestRequestedNames:
    def test_one_domain_is_one_name(self) -> None:
        """
        A request with *domain* is for one name.
        """
        assert requested_names("Shop.org", None, private=False) == ("shop.org",)

    def test_a_name_and_its_wildcard_can_share_a_certificate(self) -> None:
        """
        A request can have a name and its wildcard, because a wildcard does not cover its base.
        """
        names = requested_names(None, ["shop.org", "*.Shop.org"], private=False, wildcards=True)

        assert ("shop.org", "*.shop.org") == names

    def test_several_names_are_in_order_and_unique(self) -> None:
        """
        Several names remain in order, and each name is requested once.
        """
        names = ["shop.org", "www.shop.org", "SHOP.org."]

        assert requested_names(None, names, private=False) == ("shop.org", "www.shop.org")

    @pytest.mark.parametrize(
        ("domain", "domains", "code"),
        [
            (None, None, "payload.missing"),
            (None, [], "payload.missing"),
            ("", None, "name.empty"),
            ("shop.org", ["shop.org"], "payload.type"),
            (["a.org", "b.org"], None, "payload.type"),
            (None, "shop.org", "payload.type"),
            (None, {"domain": "shop.org"}, "payload.type"),
            (None, [["shop.org"]], "payload.type"),
            (None, ["shop.org", None], "payload.type"),
            (None, ["shop.org"] * 101, "payload.too_many_names"),
            (None, ["shop.org"] * 1_000_000, "payload.too_many_names"),
            (None, json.loads("[" * 900 + "]" * 900), "payload.type"),
        ],
    )
    def test_anything_else_is_refused(self, domain: object, domains: object, code: str) -> None:
        """
        A request with contradictory or no names is refused.
        """
        with pytest.raises(CertworkerError) as caught:
            requested_names(domain, domains, private=False)

        assert caught.value.code == code

    def test_a_hundred_names_are_accepted(self) -> None:
        """
        A request can have 100 names, the limit of Let's Encrypt.
        """
        names = [f"n{number}.shop.org" for number in range(100)]

        assert requested_names(None, names, private=False) == tuple(names)

    def test_one_refused_name_fails_the_request(self) -> None:
        """
        A request with one invalid name fails completely.
        """
        with pytest.raises(CertworkerError) as caught:
            requested_names(None, ["shop.org", "foo_bar.shop.org"], private=False)

        assert "foo_bar.shop.org" in caught.value.message


class TestTenantOf:
    @pytest.mark.parametrize(
        ("name", "tenant"),
        [
            ("www.shop.example.org", "example.org"),
            ("shop.co.uk", "shop.co.uk"),
            ("www.shop.duckdns.org", "shop.duckdns.org"),
            ("a.b.localhost", "b.localhost"),
            ("203.0.113.7", "203.0.113.7"),
            ("*.shop.example.org", "example.org"),
            ("*.localhost", "localhost"),
        ],
    )
    def test_the_default_tenant_is_the_registered_domain(self, name: str, tenant: str) -> None:
        """
        Without a tenant in the request, the tenant is the registered domain of the first name.
        """
        assert tenant == tenant_of(None, (name, "other.example.net"))

    def test_the_tenant_of_the_request_is_used(self) -> None:
        """
        The tenant of the request, such as an Appwrite project, replaces the default.
        """
        assert "project-7" == tenant_of("project-7", ("www.example.org",))

    @pytest.mark.parametrize("given", ["", "x" * 254, 7, ["a"], True, "a\n", "\ud800"])
    def test_anything_else_is_refused(self, given: object) -> None:
        """
        An invalid tenant is refused, because it becomes part of a key in Redis.
        """
        with pytest.raises(PayloadType, match="tenant"):
            tenant_of(given, ("www.example.org",))


class TestWarnings:
    @pytest.mark.parametrize(("given", "words"), WARNINGS)
    def test_a_surprising_name_causes_a_warning(self, given: str, words: str) -> None:
        """
        A surprising name is accepted with a warning.
        """
        assert words in " ".join(warnings_for(given, normalize(given)))

    @pytest.mark.parametrize(
        "given", ["api.shop.org", "API.Shop.ORG", "api.shop.org.", "shop.co.uk", "8.8.8.8"]
    )
    def test_a_plain_name_causes_no_warning(self, given: str) -> None:
        """
        A plain name causes no warning.
        """
        assert warnings_for(given, normalize(given)) == []

    def test_an_international_name_is_shown_in_its_readable_form(self) -> None:
        """
        The only warning about an international name shows its readable form.
        """
        assert warnings_for("müller.de", normalize("müller.de")) == ["it reads müller.de"]

    @pytest.mark.parametrize("given", ["наука.рф", "münchen.de", "東京タワー.jp", "xn--mgba3gch31f060k.com"])
    def test_a_name_in_one_script_is_not_suspicious(self, given: str) -> None:
        """
        A name in one script, or in the scripts of Japanese, causes no warning about mixed scripts.
        """
        assert not [text for text in warnings_for(given, normalize(given)) if "mixes" in text]

    def test_the_asterisk_of_a_wildcard_causes_no_warning(self) -> None:
        """
        The warnings about a wildcard are those about its base.
        """
        given = "*.müller.de"
        name = normalize(given, wildcards=True)
        shared = normalize("*.github.io", wildcards=True)

        assert ["it reads *.müller.de"] == warnings_for(given, name)
        assert ["github.io belongs to others, who decide where *.github.io points"] == warnings_for(
            "*.github.io", shared
        )

    def test_private_names_share_no_suffix(self) -> None:
        """
        A private name causes no warning about a shared suffix.
        """
        assert warnings_for("demo.localhost", normalize("demo.localhost", private=True)) == []
