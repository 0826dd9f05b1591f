"""
The responses to challenges, and where the CA finds them.

In import order::

    challenge  ★ The challenges HTTP-01 and DNS-01, and the solvers that publish responses
    responder  The response over certworker's own HTTP port
    tokens     The challenge tokens that all workers answer, each with its account
    webroot    The response as a file, for a web server that shares a volume
"""
