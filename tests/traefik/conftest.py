"""
The fixtures of the volume, for the files that lead to it.
"""

from tests.storage.conftest import signer, traefik, volume

__all__ = ["signer", "traefik", "volume"]
