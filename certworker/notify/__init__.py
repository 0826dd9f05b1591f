"""
Notifications by e-mail and webhook.

In the order in which they may import each other::

    message   The content of a notification, as text, HTML and JSON
    email     E-mail to the operators, by the `_APP_SMTP_*` variables of Appwrite
    webhook   The same notifications as signed JSON by HTTP POST
    notifier  ★ Decides when to notify, and delivers by each channel independently
"""
