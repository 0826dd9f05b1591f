"""
Updates the certificates in the memory of HAProxy.

HAProxy reads the files of the volume at its start. Afterward, certworker replaces renewed certificates, and
removes the certificates of removed names. It adds new certificates if HAProxy uses a list of certificates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from certworker.errors import CertworkerError
from certworker.errors.reload import HaproxyRefused
from certworker.integrations.haproxy.runtime_api import CommandFailed, NoResponse, RuntimeApi
from certworker.settings.reload import HaproxySocket
from certworker.storage.certificate_store import CertificateStore
from certworker.supervision import beat


@dataclass
class _Known:
    """
    What a process of HAProxy has in its memory.
    """

    process: str
    #: The identifier of the generation of each name.
    generations: dict[str, str] = field(default_factory=dict)
    #: The paths of removed names that HAProxy needs, because its configuration names them.
    needed: set[str] = field(default_factory=set)


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
        Send each certificate that the HAProxy at *socket* lacks, and remove those of removed names.

        Raises:
            HaproxyRefused: HAProxy does not respond, or refuses a command. After it has refused a
                certificate, the others are up to date.
            CertworkerError: The volume, or one certificate, cannot be read. Then the others are up to date,
                if the volume can be read.
        """
        api = RuntimeApi(socket.path)
        try:
            process, loaded, lists = api.process(), api.certificates(), api.lists()
        except CommandFailed as failed:
            raise HaproxyRefused(socket=socket.path, name="any name", reason=failed) from failed
        known = self._known.get(socket)
        if known is None or known.process != process:
            known = self._known[socket] = _Known(process)
        failure: CertworkerError | None = None
        for name in self._certificates.links.live():
            beat()
            try:
                self._update(name, api, loaded, lists, known)
            except CommandFailed as failed:
                failure = failure or HaproxyRefused(socket=socket.path, name=name, reason=failed)
                if isinstance(failed, NoResponse):
                    raise failure from failed
            except CertworkerError as damaged:
                failure = failure or damaged
        self._remove_others(api, loaded, lists, known)
        if failure:
            raise failure

    def _update(self, name: str, api: RuntimeApi, loaded: set[str], lists: set[str], known: _Known) -> None:
        links = self._certificates.links
        generation, path = links.target_of(name), str(links.domain_dir(name) / "fullchain.pem")
        if generation is None or (path in loaded and known.generations.get(name) == generation.name):
            return
        # Without a list, the configuration of HAProxy names each certificate that it serves.
        if path in loaded or lists:
            self._send(api, name, path, path in loaded, lists)
            known.generations[name] = generation.name

    def _remove_others(self, api: RuntimeApi, loaded: set[str], lists: set[str], known: _Known) -> None:
        """
        Remove the certificates of names that are no longer on the volume.
        """
        links = self._certificates.links
        own = {str(links.domain_dir(name) / "fullchain.pem") for name in links.live()}
        for path in sorted(loaded - own - known.needed):
            if Path(path).name == "fullchain.pem" and Path(path).parent.parent == links.directory:
                try:
                    api.remove(path, lists)
                except NoResponse:
                    return
                except CommandFailed:
                    known.needed.add(path)

    def _send(self, api: RuntimeApi, name: str, path: str, is_loaded: bool, lists: set[str]) -> None:
        metadata = self._certificates.metadata(name)
        if metadata is None:
            return  # the files of another program, which the worker adopts first
        serial, is_used = api.state(path) if is_loaded else (0, False)
        if serial != _number(metadata.serial):
            stored = self._certificates.current(name)
            if stored is None:
                return  # the log has a warning
            api.put(path, stored.certificate, is_new=not is_loaded)
        for crt_list in lists if not is_used else ():
            api.add_to_list(crt_list, path)


def _number(serial: str) -> int:
    """
    Return the number of the hexadecimal *serial*; -1 if it is invalid, because a file may contain any string.
    """
    try:
        return int(serial, 16)
    except ValueError:
        return -1
