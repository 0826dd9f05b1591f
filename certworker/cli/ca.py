"""
The CA that a command speaks to by itself, without the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from certworker.acme.client import AcmeClient
from certworker.issuance.issuer_factory import acme_client_for
from certworker.settings import CaChoice, Settings
from certworker.validity import now_in_utc


def ca_choice(settings: Settings, label: str | None) -> CaChoice:
    """
    The CA called *label* among those of the settings; None: the first one.

    Raises:
        click.ClickException: There is none.
    """
    if label is None:
        return settings.authority
    known = {choice.label: choice for choice in settings.authorities}
    if label not in known:
        raise click.ClickException(
            f"{label} is not one of the CAs that are set ({', '.join(known)}). Add it for this call: "
            "CERTWORKER_AUTHORITY=… certworker …"
        )
    return known[label]


@contextmanager
def connect_to_ca(settings: Settings, choice: CaChoice) -> Iterator[AcmeClient]:
    """
    The CA *choice*; nothing is asked of it yet.
    """
    if choice.directory_url:
        yield acme_client_for(settings, choice, choice.directory_url, now_in_utc)
        return
    # The worker's own is inside of it; another one with the same keys and accounts is as good.
    from certworker.devca.authority import DevelopmentAuthority

    with DevelopmentAuthority(settings.state_dir / "development", clock=now_in_utc) as embedded:
        yield acme_client_for(settings, choice, embedded.directory_url, now_in_utc)
