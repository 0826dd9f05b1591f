"""
HAProxy's runtime API, by which a certificate is replaced without a reload.

In import order (★ to read first)::

    runtime_api   The commands of the runtime API about certificates
    certificates  ★ Updates the certificates in the memory of HAProxy
"""
