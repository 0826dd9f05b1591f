"""
Notifications by e-mail and webhook.

In the order in which they may import each other::

    message   The content of a notification, as text, HTML and JSON
    email     E-mail to the operators, by the `_APP_SMTP_*` variables of Appwrite
    webhook   Notifications as signed JSON by HTTP POST, for programs and chats
    notifier  ★ Decides when to notify, and delivers by each channel independently
"""
