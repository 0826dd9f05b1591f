"""
Notifications by e-mail and webhook.

In the order in which they may import each other::

    message   What a human is told: once when something begins, once when it is over, never once …
    email     Mail to the people who run it, by the `_APP_SMTP_*` variables as Appwrite has them
    webhook   The same notices as JSON by HTTP POST, signed, for receivers that are programs
    notifier  ★ Decides what a human is told, and delivers it by each channel, none of which waits …
"""
