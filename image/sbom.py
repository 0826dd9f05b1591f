"""
Prints what the image consists of beside its base image: the Python packages, as CycloneDX 1.6.

Run by the Python whose packages they are. The same packages give the same text, so there is no date in it.
"""

import json
import sys
from importlib.metadata import Distribution, distribution, distributions

PRODUCT = "certworker"


def component(package: Distribution, kind: str) -> dict[str, object]:
    """
    One package, as it describes itself.
    """
    name = package.name.lower().replace("_", "-")
    told: dict[str, object] = {
        "type": kind,
        "bom-ref": f"pkg:pypi/{name}@{package.version}",
        "name": name,
        "version": package.version,
        "purl": f"pkg:pypi/{name}@{package.version}",
    }
    if licenses := _licenses(package):
        told["licenses"] = licenses
    return told


def _licenses(package: Distribution) -> list[dict[str, object]]:
    # Some say it in the form of PEP 639, older ones by classifiers or in words of their own.
    for expression in package.metadata.get_all("License-Expression") or []:
        return [{"expression": expression}]
    classifiers = package.metadata.get_all("Classifier") or []
    names = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    words = [each.splitlines()[0] for each in package.metadata.get_all("License") or [] if each]
    return [{"license": {"name": name}} for name in names or words]


def bill() -> dict[str, object]:
    """
    The whole bill of materials.
    """
    libraries = sorted(
        (each for each in distributions() if each.name != PRODUCT), key=lambda each: each.name.lower()
    )
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(distribution(PRODUCT), "application")},
        "components": [component(each, "library") for each in libraries],
    }


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
