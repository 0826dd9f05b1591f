"""
Jobs and messages that are not valid requests. Codes: payload.*.
"""

from __future__ import annotations

from certworker.errors.failure import CertworkerError, Retry, Severity


class PayloadFailure(CertworkerError):
    """
    The job or the message is not a valid request.
    """

    retry = Retry.NEVER
    severity = Severity.WARNING


class PayloadType(PayloadFailure):
    code = "payload.type"
    message_template = "{field} must be {wanted}."
    remedy_template = 'Send keyword arguments such as {{"domain": "api.example.org", "force": false}}'


class PayloadAction(PayloadFailure):
    code = "payload.action"
    message_template = "The message has the unknown action {action} (known: {known})."
    remedy_template = "Send one of the known actions, or none to generate a certificate."


class PayloadMissing(PayloadFailure):
    code = "payload.missing"
    message_template = "The request has no domain."
    remedy_template = 'Send the keyword argument domain, for example {{"domain": "api.example.org"}}.'


class PayloadNotJson(PayloadFailure):
    code = "payload.json"
    message_template = "The data of the job is not a request in JSON ({reason})."
    remedy_template = (
        "Send JSON as in docs/reference/queue-protocol.md: "
        '["certworker.issue", null, [], {{"domain": "api.example.org"}}]'
    )


class PayloadPickled(PayloadFailure):
    code = "payload.pickle"
    message_template = "The data of the job is a pickle, the default of RQ, but certworker reads only JSON."
    remedy_template = (
        "Send JSON; in Python: from rq.serializers import JSONSerializer, then "
        'Queue("certificates", connection=redis, serializer=JSONSerializer)'
    )


class PayloadUnknownArgument(PayloadFailure):
    code = "payload.unknown"
    message_template = "{function} does not accept the argument {argument}{hint}"
    remedy_template = "Send no arguments other than: {known}."


class PayloadDuplicateKey(PayloadFailure):
    code = "payload.duplicate_key"
    message_template = "The data of the job has the key {key} twice."
    remedy_template = "Send each key once."


class PayloadEncoding(PayloadFailure):
    code = "payload.encoding"
    message_template = "The data of the job is not valid UTF-8."
    remedy_template = "Send the job as JSON in UTF-8."


class PayloadTooLarge(PayloadFailure):
    code = "payload.too_large"
    message_template = "The job has {size}, and the limit is {limit} (beginning: {beginning})."
    remedy_template = "Send only names, at most 100 in one job."


class TooManyNames(PayloadFailure):
    code = "payload.too_many_names"
    message_template = "The job has {count} names, and a certificate can have at most {limit}."
    remedy_template = "Send several jobs, each with at most {limit} names."
