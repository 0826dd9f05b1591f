"""
Other programs: Appwrite, Docker, and programs of the operator.

In import order (★ to read first)::

    publications  The names of new certificates, until a loop takes them in bursts
    appwrite      Appwrite's messages, which become requests of certworker
    haproxy       HAProxy's runtime API, which replaces certificates without a reload
    docker        Containers: certificates that labels request, and reloads after a change
    deploy_hook   ★ The operator's program that runs after each publication
"""
