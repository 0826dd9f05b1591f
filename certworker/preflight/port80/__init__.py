"""
Whether the response to a challenge can be fetched over port 80.

In import order::

    http_get   One HTTP request to one address, with one deadline
    probe      One request as a CA sends it, with its redirects
    diagnosis  The failure behind a wrong response, and the server that sent it
    check      ★ The check of port 80
"""
