"""
One HTTP port for the answers to challenges, the health of the worker and its metrics.

The files, in the order in which they may import each other::

    visitors    the connections: who asks for what is not there is heard again a little later
    port        ★ what is answered
"""

from certworker.door.port import Door

__all__ = ["Door"]
