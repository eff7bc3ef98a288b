# The controller's image; `signet` is in it too. For an image that is the same each time, name the
# base by its content: --build-arg NODE_IMAGE=node@sha256:...
ARG NODE_IMAGE=node:24-bookworm-slim

# The bundles are JavaScript for any processor, so this stage runs on the builder's own.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build

FROM ${NODE_IMAGE}
# package.json says that the bundles are ES modules. No dependency is installed: they are bundled.
COPY --from=build /src/package.json /src/LICENSE /opt/kube-signet/
COPY --from=build /src/dist /opt/kube-signet/dist
RUN ln -s /opt/kube-signet/dist/signet-controller.mjs /usr/local/bin/signet-controller \
  && ln -s /opt/kube-signet/dist/signet.cjs /usr/local/bin/signet
ENV NODE_ENV=production
# Numeric, or the kubelet cannot tell that it is not root. It is `node` in the base image.
USER 1000:1000
EXPOSE 8080 8081
ENTRYPOINT ["signet-controller"]
