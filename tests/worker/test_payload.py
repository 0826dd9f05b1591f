"""
Tests of the reader of a job's data, which any program can write.
"""

from __future__ import annotations

import json
import pickle
import zlib

import pytest

from certworker.errors import CertworkerError
from certworker.worker.payload import DEEPEST, LARGEST, Call, read_call

CALL: list[object] = ["certworker.issue", None, [], {"domain": "api.example.org"}]


def nested(depth: int) -> bytes:
    """
    Return the call of a function with *depth* nested lists as its data.
    """
    return b'["f", null, ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b", {}]"


class TestReadCall:
    @pytest.mark.parametrize("packed", [True, False])
    def test_a_call_is_read(self, packed: bool) -> None:
        """
        A call is read with and without compression.
        """
        text = json.dumps(CALL).encode()

        call = read_call(zlib.compress(text) if packed else text)

        assert Call("certworker.issue", [], {"domain": "api.example.org"}) == call

    @pytest.mark.parametrize(
        ("function", "keywords", "read"),
        [
            ("certworker.issue", {"i_know": True}, {"use_full_quota": True}),
            (
                "certworker.issue",
                {"i_know": 1, "use_full_quota": True},
                {"i_know": 1, "use_full_quota": True},
            ),
            ("certworker.remove", {"i_know": True}, {"i_know": True}),
        ],
    )
    def test_the_former_keyword_of_a_request_is_read(
        self, function: str, keywords: dict[str, object], read: dict[str, object]
    ) -> None:
        """
        `i_know` is an alias of `use_full_quota`. With both, or for other functions, the reader does not
        translate it.
        """
        assert read == read_call(json.dumps([function, None, [], keywords]).encode()).keywords

    def test_the_depth_of_the_arguments_has_a_limit(self) -> None:
        """
        Arguments at the depth limit are valid. The limit does not depend on the version of Python.
        """
        assert "f" == read_call(nested(DEEPEST)).function

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (pickle.dumps(CALL), "payload.pickle"),
            (zlib.compress(pickle.dumps(CALL)), "payload.pickle"),
            (pickle.dumps(CALL, protocol=2), "payload.pickle"),
            (b"\x80abc", "payload.encoding"),
            (json.dumps(CALL).encode("utf-16"), "payload.encoding"),
            (b'["certworker.issue", null, [], {"domain": "\xff.org"}]', "payload.encoding"),
            (b'["certworker.issue", null, [], {"domain": "\\ud800.org"}]', "payload.encoding"),
            (b"", "payload.json"),
            (b"certworker.issue", "payload.json"),
            (zlib.compress(json.dumps(CALL).encode())[:-20], "payload.json"),
            (b'["certworker.issue", null, [], {"force": NaN}]', "payload.json"),
            (b'["certworker.issue", null, [], {"force": -Infinity}]', "payload.json"),
            (b"[" * 30_000, "payload.json"),
            (b'["certworker.issue", null, [' + b"[" * 9_000 + b"]" * 9_000 + b"], {}]", "payload.json"),
            (nested(DEEPEST + 1), "payload.json"),
            (b'["f", null, [], {"n": ' + b"9" * 5_000 + b"}]", "payload.json"),
            (b'["f", null, [], {"domain": "a.org", "domain": "b.org"}]', "payload.duplicate_key"),
            (b'["f", null, [], {"domain": {"x": 1, "x": 1}}]', "payload.duplicate_key"),
            (b" " * (LARGEST + 1), "payload.too_large"),
            (zlib.compress(b" " * 50_000_000), "payload.too_large"),
            (b"null", "queue.bad_payload"),
            (b'{"domain": "api.example.org"}', "queue.bad_payload"),
            (b'["certworker.issue"]', "queue.bad_payload"),
            (b'["certworker.issue", "instance", [], {}]', "queue.bad_payload"),
            (b'["certworker.issue", false, [], {}]', "queue.bad_payload"),
            (b'[["certworker.issue"], null, [], {}]', "queue.bad_payload"),
            (b"[null, null, [], {}]", "queue.bad_payload"),
            (b'["certworker.issue", null, "api.example.org", {}]', "queue.bad_payload"),
            (b'["certworker.issue", null, [], ["api.example.org"]]', "queue.bad_payload"),
        ],
        ids=lambda value: value if isinstance(value, str) else value[:24].hex(),
    )
    def test_invalid_data_is_rejected(self, data: bytes, code: str) -> None:
        """
        Each type of invalid data has its code.
        """
        with pytest.raises(CertworkerError) as caught:
            read_call(data)

        assert code == caught.value.code
        assert "\n" not in str(caught.value)
