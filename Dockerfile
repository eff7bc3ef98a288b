# The controller's image; `signet` and `kubeseal` are in it too. In it are Node, the libraries that it
# needs, and our programs: no shell, no package manager, nothing that could be run besides.
#
# BuildKit builds it, which is what `docker build` is, or buildah:
#
#   docker build --build-arg COMMIT=$(git rev-parse HEAD) --build-arg NODE_IMAGE=node@sha256:... .
#
# RELEASE.md tells how to get the same bytes each time.
ARG NODE_IMAGE=node:26-trixie-slim

# Node for the image's own processor. Nothing runs in this stage, so no processor is emulated.
FROM ${NODE_IMAGE} AS node

# The bundles are JavaScript for any processor, so this stage runs on the builder's own.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
ARG COMMIT=""
# What V8 compiled differs from build to build, and saves 50 ms at the start of a command.
RUN SIGNET_COMMIT=$COMMIT npm run build && rm dist/cli/*.cache
# There is no /usr/bin/env to find Node with: the programs name it. `controller` is what the chart and
# the manifests of Bitnami Sealed Secrets start, so that this image can take the place of theirs.
RUN mkdir -p /out/opt/kube-signet /out/usr/local/bin \
  && cp -R package.json LICENSE dist /out/opt/kube-signet/ \
  && cd /out/opt/kube-signet/dist \
  && sed -i '1s|^#!.*|#!/usr/local/bin/node|' signet-controller.mjs signet.cjs kubeseal.cjs \
  && ln -s /opt/kube-signet/dist/signet-controller.mjs /out/usr/local/bin/signet-controller \
  && ln -s signet-controller /out/usr/local/bin/controller \
  && ln -s /opt/kube-signet/dist/signet.cjs /out/usr/local/bin/signet \
  && ln -s /opt/kube-signet/dist/kubeseal.cjs /out/usr/local/bin/kubeseal
# Node with the libraries that it names and, where scanners look for them, the packages that they are of.
RUN --mount=type=bind,from=node,target=/base \
  mkdir -p /out/etc /out/tmp /out/var/lib/dpkg/status.d && chmod 1777 /out/tmp \
  && cp /base/usr/local/bin/node /out/usr/local/bin/node \
  && cp -P /base/lib* /out/ && cd /base \
  && for library in $(grep -aoE '(lib[a-z_+]+|ld-linux-[a-z0-9-]+)\.so\.[0-9]+' usr/local/bin/node | sort -u); do \
    dpkg-query --admindir=/base/var/lib/dpkg --search "*/$library" || exit 1; \
  done > /tmp/owners \
  && sed 's|.*: /|./|' /tmp/owners | xargs cp -L --parents -t /out \
  && for package in $(sed 's/:.*//' /tmp/owners | sort -u); do \
    dpkg-query --admindir=/base/var/lib/dpkg --status $package > /out/var/lib/dpkg/status.d/$package \
    && cp -L --parents usr/share/doc/$package/copyright /out || exit 1; \
  done \
  && echo 'hosts: files dns' > /out/etc/nsswitch.conf \
  && echo 'signet:x:65532:65532::/:/sbin/nologin' > /out/etc/passwd \
  && echo 'signet:x:65532:' > /out/etc/group

FROM scratch
ARG COMMIT=""
LABEL org.opencontainers.image.title="kube-signet" \
  org.opencontainers.image.description="The controller that turns SealedSecrets into Secrets" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.revision="$COMMIT"
COPY --from=build /out /
# Without HOME it is / for users that the image does not know; this folder does not exist. By default glibc
# keeps freed memory for each thread in a place of its own, and the process grows.
ENV PATH=/usr/local/bin NODE_ENV=production HOME=/nonexistent MALLOC_ARENA_MAX=2
# Numeric, or the kubelet cannot tell that it is not root.
USER 65532:65532
EXPOSE 8080 8081 8082
ENTRYPOINT ["signet-controller"]
