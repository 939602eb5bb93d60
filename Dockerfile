# The server as an image: `docker build -t holdfast .`
# It listens on every interface, because a container's own loopback reaches nobody, and so it starts with TLS and
# authentication only (docs/deployment.md), or when HOLDFAST_SERVER_INSECURE=1 says that the network is private.

FROM python:3.11-slim-bookworm AS builder
WORKDIR /src
COPY pyproject.toml README.md CHANGELOG.md LICENSE ./
COPY protos protos
COPY client/python client/python
COPY server server
# The build generates the stubs from the protos.
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /dist .
RUN python -m venv /opt/holdfast
RUN /opt/holdfast/bin/python -m pip install --no-cache-dir "$(echo /dist/holdfast-*.whl)[server]"

FROM python:3.11-slim-bookworm AS runtime
# The ids are fixed, so that a volume keeps its owner from one image to the next.
RUN groupadd --gid 10001 holdfast \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin holdfast \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data /backups
COPY --from=builder /opt/holdfast /opt/holdfast
ENV PATH=/opt/holdfast/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOLDFAST_SERVER_HOST=0.0.0.0 \
    HOLDFAST_SERVER_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 5600
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --retries=3 \
  CMD ["python", "-m", "holdfast_server.health_check"]
ENTRYPOINT ["python", "-m", "holdfast_server"]
