"""
Tests of the formats of messages.
"""

from __future__ import annotations

import json

import pytest

from certworker.errors import CertworkerError
from certworker.errors.payload import (
    PayloadAction,
    PayloadDuplicateKey,
    PayloadEncoding,
    PayloadMissing,
    PayloadNotJson,
    PayloadTooLarge,
    PayloadType,
)
from certworker.integrations.appwrite.messages import Message, read_resque, read_utopia


def utopia(payload: object) -> bytes:
    """
    Return a message of utopia-php/queue.
    """
    message = {"pid": "6b041c6ab920d9.31598014", "queue": "v1-certificates", "timestamp": 1795430000}
    return json.dumps({**message, "payload": payload}).encode()


def resque(**arguments: object) -> bytes:
    """
    Return a message of php-resque.
    """
    return json.dumps({"class": "CertificatesV1", "id": "f3", "args": [arguments]}).encode()


class TestReadUtopia:
    def test_all_fields_of_the_newest_core(self) -> None:
        """
        The example is from the source of Appwrite.
        """
        payload = {
            "project": {"$id": "console", "$sequence": 1, "database": ""},
            "domain": {"domain": "app.example.com", "domainType": "site", "$id": "more"},
            "skipRenewCheck": True,
            "validationDomain": "app.example.com",
            "action": "verification",
        }

        expected = Message("app.example.com", "verification", force=True, validation_domain="app.example.com")
        assert expected == read_utopia(utopia(payload))

    @pytest.mark.parametrize("more", [{}, {"action": None, "validationDomain": None, "skipRenewCheck": None}])
    def test_older_releases_say_less(self, more: dict[str, object]) -> None:
        """
        From 1.3 to 1.7 there were no actions.
        """
        assert Message("a.org") == read_utopia(utopia({"domain": {"domain": "a.org"}, **more}))

    @pytest.mark.parametrize(
        ("payload", "failure"),
        [
            (None, PayloadMissing),
            ([], PayloadType),
            ({}, PayloadMissing),
            ({"domain": "a.org"}, PayloadType),
            ({"domain": ["a.org"]}, PayloadType),
            ({"domain": {}}, PayloadMissing),
            ({"domain": {"domain": ""}}, PayloadMissing),
            ({"domain": {"domain": 7}}, PayloadType),
            ({"domain": {"domain": {"domain": "a.org"}}}, PayloadType),
            ({"domain": {"domain": "a.org"}, "skipRenewCheck": "false"}, PayloadType),
            ({"domain": {"domain": "a.org"}, "skipRenewCheck": 1}, PayloadType),
            ({"domain": {"domain": "a.org"}, "validationDomain": []}, PayloadType),
            ({"domain": {"domain": "a.org"}, "action": "genrate"}, PayloadAction),
            ({"domain": {"domain": "a.org"}, "action": "GENERATION"}, PayloadAction),
            ({"domain": {"domain": "a.org"}, "action": "__class__"}, PayloadAction),
            ({"domain": {"domain": "a.org"}, "action": {}}, PayloadAction),
            ({"domain": {"domain": "a.org"}, "action": False}, PayloadAction),
        ],
    )
    def test_nothing_is_guessed(self, payload: object, failure: type[CertworkerError]) -> None:
        """
        Fields of another type are refused: the text "false" is true in many languages.
        """
        with pytest.raises(failure):
            read_utopia(utopia(payload))

    @pytest.mark.parametrize(
        ("raw", "failure"),
        [
            (b"", PayloadNotJson),
            (b"null", PayloadNotJson),
            (b"\x80\x04pickle", PayloadEncoding),
            (b'{"payload": "\\ud800"}', PayloadEncoding),
            ('{"payload": {}}'.encode("utf-16"), PayloadEncoding),
            (b"[" * 60_000, PayloadNotJson),
            (b'{"payload": NaN}', PayloadNotJson),
            (b'{"payload": {}, "payload": {}}', PayloadDuplicateKey),
            (b"x" * 10_000_000, PayloadTooLarge),
        ],
        ids=range(9),
    )
    def test_invalid_messages_are_refused(self, raw: bytes, failure: type[CertworkerError]) -> None:
        """
        Invalid messages are refused.
        """
        with pytest.raises(failure) as caught:
            read_utopia(raw)

        assert len(str(caught.value)) < 1_000


class TestReadResque:
    def test_a_job_of_2021(self) -> None:
        """
        The domain is a text, and other fields have no effect.
        """
        raw = resque(document=[], domain="example.com", validateTarget=False, validateCNAME=False)

        assert Message("example.com") == read_resque(raw)

    @pytest.mark.parametrize(
        "raw",
        [
            resque(domain={"domain": "a.org"}),
            b'{"class": "CertificatesV1", "args": []}',
            b'{"class": "CertificatesV1", "args": {"domain": "a.org"}}',
            b'{"class": "DeletesV1", "args": [{"domain": "a.org"}]}',
        ],
    )
    def test_another_shape_is_refused(self, raw: bytes) -> None:
        """
        A job for another class, or with other arguments, is refused.
        """
        with pytest.raises(PayloadType):
            read_resque(raw)
