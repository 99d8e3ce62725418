# syntax=docker/dockerfile:1
# The one binary, for every role: `docker run weir standalone`, `docker run weir ingest`, ...; docker-compose.yml has
# the whole river.

FROM rust:1.95-bookworm AS build
# What librdkafka is built against: TLS to brokers, and zlib.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libssl-dev pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The caches outlive the step, so the binary is taken out of them within it.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --package weir --features kafka-tls \
    && install -D --mode=0755 target/release/weir /out/weir

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    # A volume that is made for this folder takes over its owner.
    && install --directory --owner=10001 --group=10001 --mode=0750 /var/lib/weir
COPY --from=build /out/weir /usr/local/bin/weir
LABEL org.opencontainers.image.title="weir" \
      org.opencontainers.image.description="Event ingestion with billing that can be proved" \
      org.opencontainers.image.licenses="Apache-2.0"

# From outside a container its loopback can't be reached. Who may reach these ports is for the network to say.
ENV WEIR_INGEST_ADDR=0.0.0.0:7400 \
    WEIR_ADMIN_ADDR=0.0.0.0:7401 \
    WEIR_OPERATOR_ADDR=0.0.0.0:7405 \
    WEIR_OPS_ADDR=0.0.0.0:7402 \
    WEIR_DATA_DIR=/var/lib/weir
EXPOSE 7400 7401 7402 7405

# A number, so that a cluster that forbids root can see that this is not root.
USER 10001:10001
STOPSIGNAL SIGTERM
# There is no HTTP client in the image; bash can open a connection by itself.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${WEIR_OPS_ADDR##*:} && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -qx ready <&3"]
ENTRYPOINT ["weir"]
