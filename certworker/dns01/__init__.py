"""
The answer to DNS-01 challenges (RFC 8555, section 8.4): TXT records through the operator's DNS provider.

In import order (★ to read first)::

    provider       ★ What a DNS provider does, and which provider serves which zone
    rfc2136          Dynamic updates of a name server, signed with a TSIG key, over TCP
    child_process    Child processes of providers, with a deadline for the whole process group
    exec             The operator's program, in the protocol of lego
"""
