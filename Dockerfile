# Three stages: the Node.js that runs it, the build, and an image that holds just node, the built service and its packages.

# Node.js exact; Debian is what its line has that day. To update, put the newest 24.x here, or build with
# `--build-arg NODE_VERSION=24.x.y`. Not older than 24.22.1, which mends CVE-2026-111497: a test holds that.
ARG NODE_VERSION=24.22.1

FROM node:${NODE_VERSION}-trixie-slim AS runtime

FROM runtime AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No package has to run a script: bcrypt ships its binaries.
RUN npm ci --ignore-scripts
COPY tsconfig.json *.ts ./
COPY commands commands
COPY plugins plugins
COPY routes routes
COPY schemas schemas
COPY verifier verifier
# Then what only the build needed goes, and what is optional: this Node.js brings SQLite with it.
RUN npm run build && npm prune --omit=dev --omit=optional --ignore-scripts

# Debian alone, as the Node.js image builds on it too. What is removed from a base image stays in its layers, so that
# npm, yarn and corepack are not removed here but never come in.
FROM debian:trixie-slim
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Latchkey" \
      org.opencontainers.image.description="Password-and-token service for the services behind one API gateway" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=runtime /usr/local/bin/node /usr/local/bin/
COPY --from=runtime /usr/local/LICENSE /usr/local/share/doc/node/
WORKDIR /app
# As a number: an orchestrator can see that it is not root, and needs no name for it.
RUN mkdir data && chown 10001:10001 data
COPY package.json LICENSE ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
# SHUTDOWN_DELAY: the seconds that a gateway needs to notice that this instance is going. The whole stop takes at most
# 16 s, more than the 10 s that Docker gives: `docker run --stop-timeout 20`.
# NODE_OPTIONS: room for new objects, in MB. What a request makes is gone with it, so that more room than this takes memory and
# hardly less time.
ENV NODE_ENV=production HOST=0.0.0.0 SHUTDOWN_DELAY=5 NODE_OPTIONS=--max-semi-space-size=4
USER 10001:10001
EXPOSE 3000
# The SQLite file, where no other database is named. Nothing else is ever written.
VOLUME /app/data
STOPSIGNAL SIGTERM
# Asks /health/live. Who sees "unhealthy" restarts the container, and a restart brings no database back: that is said by
# /health/ready, for whoever sends requests. At the start both say the same, since Latchkey listens once it is ready.
HEALTHCHECK --interval=30s --timeout=3s --start-period=5m --start-interval=1s CMD ["node", "dist/healthcheck.js"]
# Node itself is process 1, without a shell or npm in between, so that SIGTERM reaches it. `docker run latchkey migrate`
# runs another command.
ENTRYPOINT ["node", "dist/cli.js"]
CMD ["serve"]
