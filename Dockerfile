# The bridge in a container. Everything it keeps is in /data: config.yaml,
# registration.yaml and the store. See "With containers" in README.md.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release \
    --package matrix-appservice-rocketchat --bin matrix-appservice-rocketchat

FROM debian:bookworm-slim
# The ids are those of Synapse's image, so that both can read one registration, which
# is readable by its owner alone.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 991 bridge \
    && useradd --system --uid 991 --gid 991 --no-create-home --home-dir /data \
        --shell /usr/sbin/nologin bridge \
    && install --directory --owner=bridge --group=bridge --mode=0700 /data
COPY --from=build /src/target/release/matrix-appservice-rocketchat /usr/local/bin/

USER 991:991
WORKDIR /data
VOLUME /data
# appservice.listen; inside a container it must be 0.0.0.0:29330.
EXPOSE 29330
# Ready means connected to both sides. A bridge that is not waits and goes on by
# itself: there is no need to restart it.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["matrix-appservice-rocketchat", "health", "--config", "/data/config.yaml"]
ENTRYPOINT ["matrix-appservice-rocketchat"]
CMD ["run"]
