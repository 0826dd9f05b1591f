"""
Loads YAML files of other programs, with each number as a string.

PyYAML takes seconds to convert a number with a hundred thousand digits or parts, such as 1:59:59:…, and
hours for a larger one. certworker needs no number from these files.
"""

from __future__ import annotations

import yaml

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class TextLoader(yaml.SafeLoader):
    """
    A safe loader that returns numbers as strings.
    """


def _text_of(loader: TextLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


for _tag in _NUMBERS:
    TextLoader.add_constructor(_tag, _text_of)


def load(text: str | bytes) -> object:
    """
    Return the content of the YAML document *text*.

    Raises:
        yaml.YAMLError, ValueError, RecursionError: The document is invalid, or nested too deeply.
    """
    return yaml.load(text, TextLoader)  # noqa: S506 (a SafeLoader)
