"""
certworker against CAs of other projects: step-ca, Caddy's acme_server, acme2certifier. `make test-interop`.
"""
