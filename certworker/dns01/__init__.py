"""
The responses to DNS-01 challenges (RFC 8555, section 8.4): TXT records through the operator's DNS provider.

In import order (★ to read first)::

    provider        What a DNS provider does, and which provider serves a zone
    refusals        The failures that the responses of a DNS provider describe
    rfc2136         Dynamic updates over TCP, with or without the signature of a TSIG key
    child_process   Child processes of providers, with a deadline for the whole process group
    exec            The operator's program, with the protocol of lego
    http_api        Requests to the HTTP API of a DNS provider
    httpreq         The operator's HTTP service, with the protocol of lego
    acme_dns        acme-dns, a small name server, to which a CNAME of `_acme-challenge` leads
    lexicon_child   The process that changes one record with dns-lexicon
    lexicon         The providers of dns-lexicon, each change in its own process
    delegation      Where a record must be created: CNAMEs, the zone, and its name servers
    propagation     The wait until all name servers return a record
    txt_records     The durable list of the created records
    zone_lock       One writer per zone among all workers
    provider_state  The pause and the extra wait of each provider
    record_changes  The creation and deletion of records, one writer per zone
    leftovers       The deletion of records that killed workers or failed deletions left behind
    solver        ★ The TXT records for the challenges of one order, from the first query to their deletion
    solver_factory  Builds the solver and its DNS providers from the settings
"""
