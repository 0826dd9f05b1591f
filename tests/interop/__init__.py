"""
certworker with CAs of other projects: step-ca, Caddy's acme_server and acme2certifier (`make test-interop`).
"""
