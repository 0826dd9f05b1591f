"""
Notifications by e-mail and webhook.

In import order (★ to read first)::

    message   The content of a notification, as text, HTML and JSON
    email     E-mail to the operators, through the mail server in Appwrite's variables `_APP_SMTP_*`
    webhook   Notifications as JSON by HTTP POST, for programs and chats
    notifier  ★ Decides which events cause a notification, and delivers by each channel independently
"""
