"""
What goes on beside the jobs: threads of the worker that no job waits for.

The files, of which only `watch` needs another::

    own_domains  requests the names of _APP_DOMAIN once their port 80 answers
    watch        ★ the moments of the agenda, the rounds, the daily words
    padlock      asks Traefik until it shows the certificate
    chronicle    writes the stories of the names down
    reloads      tells containers that read their files once
    labels       asks for certificates for containers that want them by a label
"""
