"""
How people are reached: the mail server, and a URL for machines.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr

from certworker.settings.parsers import EncodedLine, HostName, Line, LowerCase, MailAddress, Port, WebUrl


class NotifySettings(BaseModel):
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
    smtp_username: Line | None = Field(None, validation_alias="_APP_SMTP_USERNAME", description="a user name")
    smtp_password: SecretStr | None = Field(
        None, validation_alias="_APP_SMTP_PASSWORD", description="a password"
    )
    #: The sender of our mail.
    mail_sender: MailAddress = Field(
        "certworker@localhost",
        validation_alias="_APP_SYSTEM_EMAIL_ADDRESS",
        description="one e-mail address, for example certworker@example.org",
    )
    mail_sender_name: EncodedLine = Field(
        "certworker",
        validation_alias="_APP_SYSTEM_EMAIL_NAME",
        description="a name on one line; it may be URL-encoded",
    )
    #: Gets the same as JSON; None: nobody.
    notify_url: WebUrl | None = Field(
        None,
        validation_alias="CERTWORKER_NOTIFY_URL",
        description="a URL that begins with https:// or http://, with a host of letters, digits, dots and "
        "hyphens, or an IPv6 address in brackets",
    )
    notify_secret: SecretStr | None = Field(
        None,
        validation_alias="CERTWORKER_NOTIFY_SECRET",
        description="a secret that signs what goes there",
    )
