# `anyref serve` in a container: docker build -t anyref . && docker run -p 8787:8787 anyref --no-auth
FROM rust:1-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /anyref
COPY . .
RUN cargo build --release --locked -p anyref-cli --no-default-features --features flex,hub,serve

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home anyref
COPY --from=build /anyref/target/release/anyref /usr/local/bin/anyref
USER anyref
EXPOSE 8787
ENTRYPOINT ["anyref", "serve", "--listen", "0.0.0.0:8787"]
CMD ["--help"]
