"""
Updates the certificates in the memory of HAProxy.

HAProxy reads the files of the volume at its start. Afterwards, each renewed certificate is replaced, and each
new one is added to the list of certificates, if HAProxy uses a list.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from certworker.errors.reload import HaproxyRefused
from certworker.integrations.haproxy.runtime_api import CommandFailed, RuntimeApi
from certworker.settings.reload import HaproxySocket
from certworker.storage.certificate_store import CertificateStore
from certworker.supervision import beat


@dataclass
class _Known:
    """
    What a process of HAProxy has in its memory.
    """

    process: str
    #: The generation of each path.
    generations: dict[str, Path] = field(default_factory=dict)


class HaproxyCertificates:
    """
    Copies the certificates of the volume to the processes of HAProxy.

    Args:
        certificates: The certificates of the volume, which HAProxy reads at the same path.
    """

    def __init__(self, certificates: CertificateStore) -> None:
        self._certificates = certificates
        self._known: dict[HaproxySocket, _Known] = {}

    def update(self, socket: HaproxySocket) -> None:
        """
        Send each certificate that the HAProxy at *socket* does not have yet.

        Raises:
            HaproxyRefused: HAProxy does not respond, or refuses one. All others are up to date.
            VolumeReadOnly, VolumeFault: The volume cannot be read.
        """
        api = RuntimeApi(socket.path)
        try:
            process, loaded, lists = api.process(), api.certificates(), api.lists()
        except CommandFailed as failed:
            raise HaproxyRefused(socket=socket.path, name="any name", reason=failed) from failed
        known = self._known.get(socket)
        if known is None or known.process != process:
            known = self._known[socket] = _Known(process)
        links, failure = self._certificates.links, None
        for name in links.live():
            beat()
            generation, path = links.target_of(name), str(links.domain_dir(name) / "fullchain.pem")
            if generation is None or (path in loaded and known.generations.get(path) == generation):
                continue
            # Without a list, the configuration of HAProxy names each certificate that it serves.
            if path not in loaded and not lists:
                continue
            try:
                self._send(api, name, path, path in loaded, lists)
            except CommandFailed as failed:
                failure = failure or HaproxyRefused(socket=socket.path, name=name, reason=failed)
            else:
                known.generations[path] = generation
        if failure:
            raise failure

    def _send(self, api: RuntimeApi, name: str, path: str, is_loaded: bool, lists: set[str]) -> None:
        stored = self._certificates.current(name)
        if stored is None:
            return  # the log has a warning
        serial, is_used = api.state(path) if is_loaded else (0, False)
        if serial != int(stored.certificate.serial, 16):
            api.put(path, stored.certificate, is_new=not is_loaded)
        for crt_list in lists if not is_used else ():
            api.add_to_list(crt_list, path)
