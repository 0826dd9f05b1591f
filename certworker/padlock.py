"""
Is it there, the padlock? After a certificate was published, Traefik is asked until it shows it.

That happens beside the jobs: Traefik takes a moment to read its files, and no job waits for it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from socket import gaierror
from typing import Any

from certworker.errors import CertworkerError
from certworker.errors.checks import ProxyUnreachable
from certworker.serving.handshake import TIMEOUT_SECONDS, leaf_of, why_not_shown
from certworker.serving.traefik import Traefik
from certworker.serving.volume import Volume
from certworker.settings import HttpAddress

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 1.0

#: While a whole volume is issued anew, a sample says enough.
MOST_AWAITED = 500


@dataclass
class _Awaited:
    names: list[str]
    leaf: bytes
    until: float
    rewrite_at: float | None


class Padlock:
    """
    A thread that asks Traefik, for some time, for each certificate that was published.

    Args:
        address: Where Traefik speaks TLS.
        demanded: An operator has named that address; otherwise it is a guess, which may be wrong.
    """

    def __init__(
        self,
        volume: Volume,
        traefik: Traefik,
        address: HttpAddress,
        *,
        demanded: bool,
        patience_seconds: float = PATIENCE_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._volume = volume
        self._traefik = traefik
        self._address = address
        self._demanded = demanded
        self._patience = patience_seconds
        self._pause = pause_seconds
        self._awaited: list[_Awaited] = []
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="padlock", daemon=True)

    def start(self) -> None:
        """
        Begin.
        """
        self._thread.start()

    def stop(self) -> None:
        """
        End it; what was not seen until now is not waited for.
        """
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * TIMEOUT_SECONDS)

    def after(self, issue: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """
        *issue*, the function behind a job, followed by a look at Traefik for what it has issued.
        """

        def issued(**arguments: object) -> dict[str, Any]:
            result = issue(**arguments)
            if result["state"] == "issued":
                self.expect(result["names"])
            return result

        return issued

    def expect(self, names: Sequence[str]) -> None:
        """
        Look for the certificate that *names* have on the volume; returns at once.
        """
        stored = self._volume.current(names[0])
        with self._changed:
            if stored is None or len(self._awaited) >= MOST_AWAITED:
                return
            now = time.monotonic()
            # A newer certificate of the same names takes the place of the one that is still looked for.
            self._awaited = [each for each in self._awaited if each.names[0] != names[0]]
            self._awaited.append(
                _Awaited(
                    list(names),
                    leaf_of(stored.certificate.cert_pem),
                    now + self._patience,
                    now + self._patience / 3,
                )
            )
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._awaited)
                if self._stopped:
                    return
                awaited = list(self._awaited)
            for each in awaited:
                if self._is_settled(each):
                    with self._changed:
                        self._awaited = [other for other in self._awaited if other is not each]
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, self._pause)

    def _is_settled(self, awaited: _Awaited) -> bool:
        try:
            failure = self._look(awaited)
        except gaierror as error:
            if not self._demanded:
                return True
            failure = self._unreachable(error)
        except OSError as error:
            failure = self._unreachable(error)
        if failure is None:
            logger.info("Traefik serves it now (checked)", extra=_about(awaited))
            return True
        now = time.monotonic()
        if awaited.rewrite_at and now > awaited.rewrite_at:
            awaited.rewrite_at = None
            self._rewrite(awaited)
        if now < awaited.until:
            return False
        logger.warning("%s", failure, extra={**_about(awaited), "code": failure.code})
        return True

    def _look(self, awaited: _Awaited) -> CertworkerError | None:
        looks = (
            why_not_shown(name, awaited.leaf, self._address, self._traefik.directory)
            for name in awaited.names
        )
        return next(filter(None, looks), None)

    def _unreachable(self, error: OSError) -> CertworkerError:
        return ProxyUnreachable(proxy=self._address, reason=error.strerror or error)

    def _rewrite(self, awaited: _Awaited) -> None:
        # Its event may have been lost, or the files were read before the volume had them.
        try:
            if stored := self._volume.current(awaited.names[0]):
                self._traefik.serve(stored, again=True)
        except CertworkerError as failure:
            logger.warning("%s", failure, extra={**_about(awaited), "code": failure.code})


def _about(awaited: _Awaited) -> dict[str, object]:
    return {"domain": awaited.names[0], "event": "served"}
