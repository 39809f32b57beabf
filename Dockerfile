# syntax=docker/dockerfile:1
# Two stages: one builds and installs, the other holds Node.js, the built service and its production packages alone.

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc tsconfig.json ./
COPY *.ts ./
COPY commands commands
COPY plugins plugins
COPY routes routes
COPY schemas schemas
# `prepare` builds dist/; then the development packages go.
RUN npm ci && npm prune --omit=dev --ignore-scripts

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
RUN mkdir data && chown node:node data
USER node
EXPOSE 3000
VOLUME /app/data
# By node itself, so that SIGTERM reaches it.
CMD ["node", "dist/server.js"]
