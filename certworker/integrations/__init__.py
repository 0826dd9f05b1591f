"""
Other programs: Appwrite, Docker, and programs of the operator.

In import order (★ to read first)::

    publications  The certificates that jobs have issued, until a loop takes them in bursts
    appwrite      Appwrite's messages, which become requests of certworker
    haproxy       HAProxy's runtime API, by which a certificate is replaced without a reload
    docker        Containers: labels that request certificates, and reloads after a change
    deploy_hook   ★ The operator's program that runs after each publication
"""
