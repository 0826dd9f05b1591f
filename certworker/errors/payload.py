"""
Jobs and messages that are not a request. Codes: payload.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class PayloadFailure(CertworkerError):
    """
    The job does not say what a job must say.
    """

    retry = Retry.NEVER
    severity = Severity.WARNING


class PayloadType(PayloadFailure):
    code = "payload.type"
    message_template = "{field} must be {wanted}."
    remedy_template = 'Send the keyword arguments as in {{"domain": "api.example.org", "force": false}}'


class PayloadAction(PayloadFailure):
    code = "payload.action"
    message_template = "The message asks for the action {action}, which is none of ours ({known})."
    remedy_template = "Send one of them, or none: then a certificate is generated."


class PayloadMissing(PayloadFailure):
    code = "payload.missing"
    message_template = "The job names no domain."
    remedy_template = 'Send the keyword argument domain, for example {{"domain": "api.example.org"}}.'


class PayloadNotJson(PayloadFailure):
    code = "payload.json"
    message_template = "The job's data is not the JSON of a request ({reason})."
    remedy_template = (
        "Send JSON as in docs/reference/queue-protocol.md: "
        '["certworker.issue", null, [], {{"domain": "api.example.org"}}]'
    )


class PayloadPickled(PayloadFailure):
    code = "payload.pickle"
    message_template = "The job is a pickle, the default of RQ in Python; certworker reads JSON only."
    remedy_template = (
        "Send JSON; in Python: from rq.serializers import JSONSerializer, then "
        'Queue("certificates", connection=redis, serializer=JSONSerializer)'
    )


class PayloadUnknownArgument(PayloadFailure):
    code = "payload.unknown"
    message_template = "{function} does not take the argument {argument}{hint}"
    remedy_template = "Send no other arguments than: {known}."


class PayloadDuplicateKey(PayloadFailure):
    code = "payload.duplicate_key"
    message_template = "The job's data has the key {key} twice, and readers differ in which one they believe."
    remedy_template = "Send each key once."


class PayloadEncoding(PayloadFailure):
    code = "payload.encoding"
    message_template = "The job is not valid UTF-8 text."
    remedy_template = "Send it as JSON in UTF-8."


class PayloadTooLarge(PayloadFailure):
    code = "payload.too_large"
    message_template = "The job has {size} characters, and the limit is {limit}; it begins with {beginning}."
    remedy_template = "Send the names only: at most 100 in one job."


class TooManyNames(PayloadFailure):
    code = "payload.too_many_names"
    message_template = "The job has {count} names, and one certificate takes at most {limit}."
    remedy_template = "Send them in several jobs, each with at most {limit} names."
