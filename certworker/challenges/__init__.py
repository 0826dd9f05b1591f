"""
The responses to challenges, and the ways to publish them for the CA.

In import order (★ to read first)::

    challenge  ★ The challenges HTTP-01 and DNS-01, and the solvers that publish responses
    responder  The response over certworker's own HTTP port
    fetches    The requests from CAs for these responses, so that an order knows when to poll
    tokens     The challenge tokens to which all workers respond, each with its CA
    webroot    The response as a file, for a web server that shares a volume
"""
