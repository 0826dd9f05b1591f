"""
HAProxy's runtime API, which replaces certificates without a reload.

In import order (★ to read first)::

    runtime_api   The commands of the runtime API about certificates
    certificates  ★ Updates the certificates in the memory of HAProxy
"""
