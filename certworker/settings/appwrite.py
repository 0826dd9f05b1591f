"""
How we get along with Appwrite's core.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from certworker.settings.parsers import LowerCase


class AppwriteSettings(BaseModel):
    """
    The part of the settings about the messages of Appwrite's core.
    """

    #: Whether they are taken; auto: once there are any.
    appwrite: Annotated[Literal["auto", "on", "off"], LowerCase] = Field(
        "auto", validation_alias="CERTWORKER_APPWRITE", description="auto, on or off"
    )
    appwrite_queue: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")] = Field(
        "v1-certificates",
        validation_alias="_APP_CERTIFICATES_QUEUE_NAME",
        description="the name of a queue, for example v1-certificates",
    )
