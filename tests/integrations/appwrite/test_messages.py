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
    def test_all_fields_of_the_latest_appwrite_are_read(self) -> None:
        """
        All fields of a message are read, as in the source of Appwrite.
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
    def test_optional_fields_can_be_missing(self, more: dict[str, object]) -> None:
        """
        The optional fields can be missing or null, as in Appwrite 1.3 to 1.7.
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
    def test_a_field_of_another_type_is_refused(
        self, payload: object, failure: type[CertworkerError]
    ) -> None:
        """
        A missing field, an unknown action and a field of another type are refused.

        The text "false" counts as true in many languages.
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
        An invalid message raises its failure, with a message of limited length.
        """
        with pytest.raises(failure) as caught:
            read_utopia(raw)

        assert len(str(caught.value)) < 1_000


class TestReadResque:
    def test_a_job_is_read(self) -> None:
        """
        The domain of a job is a string, and its other fields are ignored.
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
    def test_another_format_is_refused(self, raw: bytes) -> None:
        """
        A job for another class, or with other arguments, is refused.
        """
        with pytest.raises(PayloadType):
            read_resque(raw)
