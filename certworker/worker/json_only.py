"""
Makes RQ read only JSON, even where a tool of RQ names no serializer.

The default serializer of RQ is pickle. A pickle can run code when it is read, and every producer can write a
pickle.
"""

from __future__ import annotations

from rq import serializers


def forbid_pickles() -> None:
    """
    Replace the default serializer and the pickle serializer of RQ with JSON, for the whole process.
    """
    json = serializers.JSONSerializer
    serializers.DefaultSerializer = serializers.PickleSerializer = json  # type: ignore[misc,assignment]
    serializers.SERIALIZER_ALIASES["pickle"] = json
