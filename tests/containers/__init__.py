"""
The project in real containers, with its Dockerfile, its docker-compose.yml and a real engine.

`make test-containers` runs these tests. `make test` omits them, because they need an engine.
"""
