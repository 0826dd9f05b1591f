"""
The fixtures of the volume, to which the files of Traefik refer.
"""

from tests.storage.conftest import signer, traefik, volume

__all__ = ["signer", "traefik", "volume"]
