"""
The project in real containers: its own Dockerfile and docker-compose.yml, with a real engine.

`make test-containers` runs them. They are not among the tests of `make test`, for they need an engine.
"""
