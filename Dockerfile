# Images of the three programs.
#   docker build -t messenger-server .
#   docker build -t messenger-cli --target cli .
#   docker build -t messenger-gateway --target gateway .
# The README says how to run them: a published port is on a network, so server and
# gateway take a certificate. None runs as root, needs a capability, or writes to
# its file system; the server keeps its log in the volume /var/lib/messenger.

FROM debian:bookworm-slim AS build
WORKDIR /src
COPY script/bootstrap script/
RUN script/bootstrap package
COPY . .
# Beside the programs: which packages the libraries come from that they load.
RUN cmake --workflow --preset package && \
    install -s -D -t /out build/package/apps/messenger-* && \
    objdump -p /out/messenger-* | awk '$1 == "NEEDED" {print "*/" $2}' | \
      xargs dpkg-query -S | cut -d: -f1 | sort -u | tee /out/packages

FROM debian:bookworm-slim AS runtime
COPY --from=build /out/packages /src/LICENSE /usr/share/doc/messenger/
RUN apt-get update && \
    xargs -a /usr/share/doc/messenger/packages \
      apt-get install -y --no-install-recommends && \
    apt-get clean && rm -rf /var/lib/apt/lists/*
USER 65532:65532
LABEL org.opencontainers.image.licenses="Apache-2.0"

FROM runtime AS gateway
LABEL org.opencontainers.image.title="messenger-gateway" \
      org.opencontainers.image.description="Serves the channels of a messenger-server over HTTP"
COPY --from=build /out/messenger-gateway /usr/local/bin/
# Which server: MESSENGER_SERVER_ADDR. Another port: MESSENGER_HTTP_PORT, which
# the health check knows, too.
ENV MESSENGER_HTTP_HOST=0.0.0.0
EXPOSE 8080
# With --https-cert, the answer to plain HTTP is 400.
# Whether it runs, not whether its server does (/readyz): to start it again would
# not help then, and would empty its postbox. bash is in the image, curl is not.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s \
  CMD bash -c 'exec 3<>"/dev/tcp/127.0.0.1/${MESSENGER_HTTP_PORT:-8080}" && \
    printf "GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n" >&3 && \
    read -r -t 4 _ status _ <&3 && [[ $status == [24]00 ]]' || exit 1
ENTRYPOINT ["messenger-gateway"]

FROM runtime AS cli
LABEL org.opencontainers.image.title="messenger-cli" \
      org.opencontainers.image.description="Sends and reads messages of a messenger-server"
COPY --from=build /out/messenger-cli /usr/local/bin/
ENTRYPOINT ["messenger-cli"]

FROM cli AS server
LABEL org.opencontainers.image.title="messenger-server" \
      org.opencontainers.image.description="An ordered message log served over gRPC"
COPY --from=build /out/messenger-server /usr/local/bin/
# The log. Without a volume of your own, a new container has a new one.
USER root
# Certificates, tokens and rights go into a volume at /etc/messenger, if they are
# made there: it takes over this owner.
RUN install -d -o 65532 -g 65532 /var/lib/messenger && \
    install -d -o 65532 -g 65532 -m 0700 /etc/messenger
USER 65532:65532
ENV MESSENGER_SERVER_LOG=file:/var/lib/messenger
VOLUME /var/lib/messenger
# Another port: MESSENGER_SERVER_PORT, which the health check knows, too.
EXPOSE 51075
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s \
  CMD messenger-cli ping --health --server "localhost:${MESSENGER_SERVER_PORT:-51075}" || exit 1
ENTRYPOINT ["messenger-server"]
