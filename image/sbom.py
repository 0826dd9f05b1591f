"""
Prints the Python packages that the image adds to its base image, as CycloneDX 1.6.

The Python of these packages runs this program. The output has no date, so the same packages give the same
output.
"""

import json
import sys
from importlib.metadata import Distribution, distribution, distributions

PRODUCT = "certworker"


def component(package: Distribution, kind: str) -> dict[str, object]:
    """
    Return the component of *package*, from its own metadata.

    Args:
        kind: The CycloneDX type, `application` or `library`.
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
    # Some packages have an expression (PEP 639), older ones have classifiers or any text.
    for expression in package.metadata.get_all("License-Expression") or []:
        return [{"expression": expression}]
    classifiers = package.metadata.get_all("Classifier") or []
    names = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: ")]
    words = [each.splitlines()[0] for each in package.metadata.get_all("License") or [] if each]
    return [{"license": {"name": name}} for name in names or words]


def bill() -> dict[str, object]:
    """
    Return the bill of materials of the installed packages.
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
