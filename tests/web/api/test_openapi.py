"""
Tests of the OpenAPI document.
"""

from __future__ import annotations

import re

from openapi_spec_validator import validate

from certworker.web.api.openapi import openapi


class TestOpenapi:
    def test_it_is_valid(self) -> None:
        """
        The document is valid by the schema of OpenAPI 3.1.
        """
        validate(openapi())

    def test_each_part_is_used_and_described(self) -> None:
        """
        Each operation has a summary, and each schema a description. No schema and no response is unused.
        """
        document = openapi()
        text = str(document["paths"]) + str(document["components"])

        calls = [call for path in document["paths"].values() for call in path.values()]
        assert all(call["summary"].endswith(".") for call in calls)
        assert all(schema["description"] for schema in document["components"]["schemas"].values())
        for kind in ("schemas", "responses"):
            for name in document["components"][kind]:
                assert f"#/components/{kind}/{name}'" in text, name

    def test_each_description_is_complete_without_its_neighbors(self) -> None:
        """
        A description names what it describes. A tool may show one field alone, so no description is for two
        fields, refers to the field above, or contains a role of Sphinx.
        """
        schemas = openapi()["components"]["schemas"]
        described = {
            f"{kind}.{name}: {field['description']}"
            for kind, schema in schemas.items()
            for name, field in schema["properties"].items()
            if "description" in field
        }

        assert not [text for text in described if re.search(r"\b(?:these|both|Its)\b|:class:", text)]
        assert all("description" in schemas["Remaining"]["properties"][name] for name in ("left", "of"))
