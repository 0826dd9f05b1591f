"""
The page in the browser, the API, and the routes for proxies.

Flask, Jinja and Werkzeug belong to the extra `certworker[web]`, and only this package imports them.
`certworker work` imports them at the first request, so that it starts as fast as without the page.

In import order (★ to read first)::

    tokens       The tokens of the page and of the API, and the file with their hashes
    access       Who may use the page and the API
    problems     Problem documents (RFC 9457), the error responses for programs
    components   The components that the views use
    api          The API, version 1
    pages        The views in HTML
    proxies      The routes for proxies: certificates with their keys, and permitted names
    application  ★ The Flask application of the page and the API
    queue        The queue of RQ below `/queue`, as rq-dashboard shows it
    composition  The composition of the application: builds its components from the settings and Redis
    cpu_share    The share of the processor that the page of a worker may use
    server       The server of the page and the API
"""
