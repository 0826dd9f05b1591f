"""
The proxies of the environment: HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, in capitals or not.

The connections to a CA read them (:mod:`certworker.acme.http_pool`), by the rules of urllib and requests: a
name without capitals wins, even if its value is empty, and ALL_PROXY replaces a missing one of the other two.
"""

from __future__ import annotations

from collections.abc import Mapping

from certworker.settings.ca import PORTS, web_url_in

SUFFIX = "_proxy"

ALLOWED = "http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ before HOST where the proxy asks for it"

#: urllib3 has it only together with another library.
SOCKS = "; SOCKS is not supported"


def wrong_proxies(environ: Mapping[str, str]) -> list[str]:
    """
    Return a sentence for each variable in *environ* that names a proxy which no connection can use.

    A variable that another one overrides does not matter.
    """
    variables = _variables(environ)
    used = {variables.get(scheme) or variables.get("all") for scheme in PORTS}
    return [
        f"{name} must be {ALLOWED}{SOCKS if environ[name].lower().startswith('socks') else ''}"
        for name in sorted(filter(None, used))
        if not _is_usable(environ[name])
    ]


def _variables(environ: Mapping[str, str]) -> dict[str, str]:
    """
    Return by scheme, or `all`, the name of the variable that counts.
    """
    found = {name.lower(): name for name, value in environ.items() if value}
    for name, value in environ.items():
        if name.endswith(SUFFIX) and not value:
            found.pop(name, None)
        elif name.endswith(SUFFIX):
            found[name] = name
    return {name.removesuffix(SUFFIX): found[name] for name in found if name.endswith(SUFFIX)}


def _is_usable(value: str) -> bool:
    try:
        # Without a scheme it is taken for http.
        url = web_url_in(value if "://" in value else f"http://{value}")
    except ValueError:
        return False
    return url.path in ("", "/") and not (url.query or url.fragment) and url.netloc.count("@") <= 1
