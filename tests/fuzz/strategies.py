"""
Hostile values: raw bytes, and valid documents with some hostile members.
"""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

#: The JSON of values that json.dumps does not write, by the text that represents each.
UNWRITABLE = {
    "@digits@": "9" * 5_000,
    "@beyond@": "1e999",
    "@deep@": "[" * 20_000 + "]" * 20_000,
    "@twice@": '{"a": 1, "a": 2}',
}

TEXTS = [
    *("", " ", "\0", "\n", "\r\nX-Injected: 1", "\x1b[2J", "\u202e", "\ufeff", "\ud800", "\udcff"),
    *("..", "../../etc/passwd", "/", "//", "a" * 5_000, "9" * 5_000, "-1", "1e999", "nan", "inf", "0x10"),
    *("\N{ARABIC-INDIC DIGIT FIVE}", "true", "null", "{}", "[]", "{{ .Env }}", "%s%n", "http://["),
    *("http://a:99999/", "https://[::1", "file:///etc/passwd", "a..b", "*.example.org", "xn--", "xn--a", "."),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "a" * 64 + ".example"),
]

#: Any text, including lone surrogates.
texts = st.sampled_from(TEXTS) | st.text(st.characters(), max_size=40)

numbers = (
    st.sampled_from(
        [
            0,
            -1,
            2**31,
            2**53 + 1,
            2**63,
            -(2**63) - 1,
            10**12,
            10**4_000,
            0.5,
            1e300,
            float("nan"),
            float("inf"),
        ]
    )
    | st.integers()
)

#: Any JSON value, and some values that JSON does not have.
anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts | st.sampled_from(sorted(UNWRITABLE)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)

#: Raw bytes, including long ones.
raw = st.binary(max_size=60) | st.sampled_from([b"x" * 70_000, b"\xff" * 6_001, b"[" * 30_000])


def places(document: object) -> list[tuple[Any, ...]]:
    """
    Return the path of each member of *document*, at any depth.
    """
    members = (
        document.items()
        if isinstance(document, dict)
        else enumerate(document)
        if isinstance(document, list)
        else ()
    )
    return [way for key, member in members for way in [(key,), *((key, *rest) for rest in places(member))]]


@st.composite
def spoiled(draw: st.DrawFn, document: Any, by: st.SearchStrategy[Any] = anything) -> Any:
    """
    Return *document* with one to three hostile or missing members.
    """
    found = deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        if not (ways := places(found)):
            break
        *way, last = draw(st.sampled_from(ways))
        parent = found
        for key in way:
            parent = parent[key]
        if draw(st.integers(0, 5)):
            parent[last] = draw(by)
        else:
            del parent[last]
    return found


def written(document: object) -> bytes:
    """
    Return *document* as JSON, including values that JSON does not have.
    """
    text = json.dumps(document)
    for name, meaning in UNWRITABLE.items():
        text = text.replace(f'"{name}"', meaning)
    return text.encode()


def as_bytes(text: object) -> bytes:
    """
    Return *text* in UTF-8, including lone surrogates.
    """
    return text if isinstance(text, bytes) else str(text).encode("utf-8", "surrogatepass")


def documents(valid: Any) -> st.SearchStrategy[bytes]:
    """
    Return JSON like *valid*, other JSON, truncated JSON, and invalid JSON.
    """
    like = spoiled(valid).map(written)
    cut = st.integers(0, 200).map(lambda length: written(valid)[:length])
    return st.one_of(like, like, like, anything.map(written), cut, raw)
