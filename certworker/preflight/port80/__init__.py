"""
Whether the CA can fetch the response to a challenge over port 80.

In import order (★ to read first)::

    http_get   One HTTP request to one address, with one deadline
    probe      One request that follows redirects as a CA does
    diagnosis  The cause of a wrong response, and the server that sent it
    check      ★ The check of port 80
"""
