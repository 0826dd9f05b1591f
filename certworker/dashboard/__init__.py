"""
The data behind the page and the API, and their actions, as plain values without a web framework.

In import order (★ to read first)::

    sources       Where the data is: settings, Redis, volume and clock
    documents     Values as JSON documents
    own_names     What a tenant sees of certificates that tenants share
    names       ★ The status of one name, and an index for searches among 50,000 names
    name_details  The certificate, the chain, the files and the place in the queue of one name
    limits        What is left of the rate limits of each CA
    workers       The workers and their running jobs
    nodes         The hosts with volumes of their own
    summary       The overview: counts, problems, next renewals, queue and proxy
    records       The DNS records that a name needs
    actions       Requests, renewals, retries, resumptions, imports and removals
"""
