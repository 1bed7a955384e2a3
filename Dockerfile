# The service in a container: `make image` builds it, docs/deploy.md tells how it is run.
#
# Both stages stand on the same base, which needs Python 3.11 or newer with venv and pip, and nothing else.
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
SHELL ["/bin/sh", "-eu", "-c"]
WORKDIR /build

# Where packages come from (an index, a proxy's certificate) is the machine's own business: it comes as the secret
# `pip`, which is a pip.conf, and stays out of the image.
COPY deploy/image/runtime.lock deploy/image/build.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python3 -m venv --without-pip /opt/slack-mcp; \
    python3 -m pip --python /opt/slack-mcp/bin/python install --no-compile --no-deps --only-binary :all: \
        --require-hashes -r runtime.lock; \
    python3 -m venv --without-pip builder; \
    python3 -m pip --python builder/bin/python install --no-deps --only-binary :all: --require-hashes -r build.lock

COPY pyproject.toml README.md LICENSE ./
COPY src src
# Bytecode that is never compared with its source: nothing has to be written at the start. By one process, whose bytes
# are the same each time.
RUN builder/bin/python -m hatchling build -t wheel; \
    python3 -m pip --python /opt/slack-mcp/bin/python install --no-compile --no-deps --no-index dist/*.whl; \
    PYTHONHASHSEED=0 /opt/slack-mcp/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/slack-mcp/lib; \
    install -d -m 0700 -o 10001 -g 10001 /data

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="slack-mcp" \
      org.opencontainers.image.description="Connects Slack workspaces to AI agents." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=build /opt/slack-mcp /opt/slack-mcp
# A mount over /data begins as this: empty, and the service's own.
COPY --from=build --chown=10001:10001 /data /data

ENV PATH=/opt/slack-mcp/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    HOST=0.0.0.0 \
    PORT=8080 \
    DATA_DIR=/data
VOLUME ["/data"]
WORKDIR /
EXPOSE 8080
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/readyz', timeout=2)"]
ENTRYPOINT ["slack-mcp"]
CMD ["serve"]
