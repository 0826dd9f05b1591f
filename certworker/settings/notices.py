"""
How people are reached: the mail server, and a URL for machines.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr

from certworker.settings.readings import HostName, LowerCase, Port


class NoticeSettings(BaseModel):
    """
    The part of the settings that says whom to tell, and how.
    """

    #: None: no mail.
    smtp_host: HostName | None = Field(
        None, validation_alias="_APP_SMTP_HOST", description="a bare host name, for example smtp.example.org"
    )
    smtp_port: Port = Field(
        25, validation_alias="_APP_SMTP_PORT", description="a number from 1 to 65535, for example 587"
    )
    smtp_secure: Annotated[Literal["", "tls", "ssl"], LowerCase] = Field(
        "", validation_alias="_APP_SMTP_SECURE", description="tls (STARTTLS), ssl, or empty"
    )
    smtp_username: str | None = Field(None, validation_alias="_APP_SMTP_USERNAME", description="a user name")
    smtp_password: SecretStr | None = Field(
        None, validation_alias="_APP_SMTP_PASSWORD", description="a password"
    )
    #: The sender of our mail.
    mail_sender: str = Field(
        "certworker@localhost", validation_alias="_APP_SYSTEM_EMAIL_ADDRESS", description="an e-mail address"
    )
    mail_sender_name: str = Field(
        "certworker", validation_alias="_APP_SYSTEM_EMAIL_NAME", description="a name; it may be URL-encoded"
    )
    #: Gets the same as JSON; None: nobody.
    notify_url: Annotated[str, Field(pattern=r"^https?://[^\s/]+")] | None = Field(
        None,
        validation_alias="CERTWORKER_NOTIFY_URL",
        description="a URL that begins with https:// or http://",
    )
    notify_secret: SecretStr | None = Field(
        None,
        validation_alias="CERTWORKER_NOTIFY_SECRET",
        description="a secret that signs what goes there",
    )
