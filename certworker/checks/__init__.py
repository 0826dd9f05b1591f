"""
Would the CA say yes? Our own questions come first, because they cost none of its limits.

The files, in the order in which they may import each other::

    eligibility    what a public CA wants before anything else
    addresses      which addresses a public CA connects to
    records        what DNS says of a name, as values
    verdict        what a check is asked, and what it may answer
    settling       the first moments of a worker
    kept           what was found a moment ago
    machine        what outlives the container
    inspections    the time, the volumes
    datagrams      many questions at once over UDP
    dns            questions to name servers, and their answers as values
    views          what was heard, server by server
    resolver       what they say, put together
    resolution     does the name lead somewhere a CA can go?
    caa            do its CAA records allow this CA?
    target         does it point to this server?
    exchange       one HTTP request to one address
    probe          one question at port 80, asked as a CA asks it
    stranger       who answered in our place
    diagnosis      what is wrong on the way to the answer
    port80         does the answer to a challenge arrive?
    preflight      ★ all of them at the same time
"""
