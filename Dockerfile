# certworker and its dependencies in a virtual environment.
FROM python:3.13.15-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b AS build

WORKDIR /build
RUN python3 -m venv --without-pip /opt/certworker

# The lock file comes first, so that a change of only certworker uses this layer from the cache.
COPY requirements.lock .
RUN python3 -m pip --python /opt/certworker/bin/python3 install --no-cache-dir --no-compile \
        --require-hashes --only-binary :all: --requirement requirements.lock

# setuptools is in the lock file, so that the build needs no index. Nothing needs it after the build.
COPY LICENSE README.md pyproject.toml ./
COPY certworker certworker
RUN python3 -m pip --python /opt/certworker/bin/python3 install --no-cache-dir --no-compile \
        --no-deps --no-build-isolation . \
    && python3 -m pip --python /opt/certworker/bin/python3 uninstall --yes setuptools

# The list of packages in the image, in a format for scanners.
COPY image/sbom.py .
RUN mkdir -p /opt/certworker/share/sbom \
    && /opt/certworker/bin/python3 sbom.py > /opt/certworker/share/sbom/certworker.cdx.json

# Bytecode is compiled here, because the file system is read-only at run time. The sources never change, so
# the hashes need no check.
RUN find /opt/certworker -depth -type d \( -name tests -o -name test \) -exec rm -r {} + \
    && /opt/certworker/bin/python3 -m compileall -q --invalidation-mode unchecked-hash \
        /opt/certworker/lib


FROM python:3.13.15-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

LABEL org.opencontainers.image.title="certworker" \
      org.opencontainers.image.description="Obtains TLS certificates for the domains on a Redis queue, renews them, and passes them to Traefik." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim" \
      certworker.sbom="/opt/certworker/share/sbom/certworker.cdx.json"

# The official image has no bytecode of the standard library. Its compilation at each start would need more
# time than the rest of the start.
RUN python3 -m compileall -q -x '(test|idlelib|tkinter|ensurepip|turtledemo|pydoc_data|site-packages|config-)' \
        "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# A new volume gets the owner of the directory on which it is mounted first.
RUN groupadd --gid 10001 certworker \
    && useradd --uid 10001 --gid certworker --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin certworker \
    && mkdir -p /storage/certificates /storage/config /storage/state \
    && chown certworker:certworker /storage/certificates /storage/config /storage/state

COPY --from=build /opt/certworker /opt/certworker
ENV PATH=/opt/certworker/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

VOLUME ["/storage/certificates", "/storage/config", "/storage/state"]
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["certworker", "health"]
ENTRYPOINT ["certworker"]
CMD ["work"]
