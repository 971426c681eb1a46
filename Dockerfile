# One image for every process: `serve` (the default), `worker`, `scheduler`, `db upgrade`, `seed`; which modules are in
# it is decided here, and nothing is installed when a container starts.
#
#   docker build -t platform-core:local .
#   docker build --build-arg MODULES=user_management,notification .
#   docker build --build-arg MODULES_FILE=deploy/modules.txt .       a frozen set: names, versions, hashes
#   docker build --build-arg REQUIREMENTS=deploy/requirements.txt .  every package from an index, with its hash
#
# `platform modules freeze` writes a frozen set; each image has the one that it is: docker run … modules freeze

ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm

# ── what is installed ────────────────────────────────────────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS build

# Directories below plugins/, separated by commas; empty for all of them.
ARG MODULES=""
# Extras of platform-core: traces that leave the process, files in S3.
ARG EXTRAS="otlp,s3"
# What `platform modules freeze` has printed, in the build context. Exactly that is installed, from this checkout and from
# the wheels below deploy/wheels, by `platform modules sync`; the build fails where it cannot be had, and what runs
# refuses everything else.
ARG MODULES_FILE=""
# A requirements file of the build context, with hashes; then nothing of this checkout is installed.
ARG REQUIREMENTS=""
ARG UV="uv>=0.13,<0.14"
ARG SBOM_TOOL="cyclonedx-bom>=7.5,<8"

# Only what this file names is asked for; what is fetched once is kept by the builder for the next build.
ENV UV_NO_CONFIG=1 UV_NO_SOURCES=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON=/opt/platform/bin/python
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /source
RUN --mount=type=cache,target=/root/.cache \
    python3 -m venv /opt/tools && python3 -m venv --without-pip /opt/platform && \
    /opt/tools/bin/pip --disable-pip-version-check install --prefix /opt/uv "$UV" && \
    /opt/uv/bin/uv pip install --python /opt/tools/bin/python "$SBOM_TOOL"
COPY . .
# Neighbours that a module needs come along, and from this checkout only: never from an index that has one of that name.
# Likewise a frozen set, which is whole and has been compared before an index is asked for what it needs besides.
RUN --mount=type=cache,target=/root/.cache \
    install() { /opt/uv/bin/uv pip install "$@"; }; \
    if [ -n "$REQUIREMENTS" ]; then \
        install --require-hashes --requirement "$REQUIREMENTS"; \
    elif [ -n "$MODULES_FILE" ]; then \
        install --constraint constraints.txt "./[$EXTRAS]"; \
        for folder in plugins/*/; do /opt/uv/bin/uv build --quiet --wheel --out-dir /opt/wheels "$folder"; done; \
        if [ -d deploy/wheels ]; then find deploy/wheels -name '*.whl' -exec cp -t /opt/wheels {} +; fi; \
        PATH=/opt/tools/bin:$PATH PIP_NO_DEPS=1 \
            /opt/platform/bin/platform modules sync "$MODULES_FILE" --find-links /opt/wheels --no-index; \
        if { /opt/tools/bin/pip --python /opt/platform/bin/python check || true; } | grep "requires platform-plugin-"; then \
            echo "… and $MODULES_FILE does not name it" >&2; exit 1; \
        fi; \
        /opt/platform/bin/python -c 'from importlib.metadata import entry_points as found; print(*{f"{module.dist.name}=={module.dist.version}" for module in found(group="platform_core.plugins")}, sep="\n")' \
            > /opt/frozen.txt; \
        install --constraint constraints.txt --requirement /opt/frozen.txt; \
    else \
        there=(); for folder in plugins/*/; do there+=("$(basename "$folder")"); done; \
        IFS=', ' read -ra named <<< "${MODULES//-/_}"; \
        for name in "${named[@]}"; do \
            [ -d "plugins/$name" ] || { echo "MODULES names $name, which is not here. There are: ${there[*]}. What comes from elsewhere is named by MODULES_FILE or REQUIREMENTS." >&2; exit 64; }; \
        done; \
        if [ "${#named[@]}" = 0 ]; then named=("${there[@]}"); fi; \
        for name in "${there[@]}"; do echo "platform-plugin-${name//_/-} @ file:///source/plugins/$name"; done > /opt/checkout.txt; \
        wanted=("${named[@]//_/-}"); \
        install --constraint constraints.txt --constraint /opt/checkout.txt "./[$EXTRAS]" "${wanted[@]/#/platform-plugin-}"; \
    fi
# A set that cannot start is not built. Then the list of what is in it, for whoever audits the image.
RUN if [ -n "$MODULES_FILE" ]; then \
        cp "$MODULES_FILE" /opt/platform/modules.txt; export PLATFORM_MODULES_FILE=/opt/platform/modules.txt; \
    fi; \
    PLATFORM_ENV=development /opt/platform/bin/platform modules check; \
    /opt/tools/bin/cyclonedx-py environment --output-reproducible --of JSON \
        -o /opt/platform/sbom.cdx.json /opt/platform/bin/python

# ── development: the checkout is mounted, what changes is served ─────────────────────────────────
FROM build AS development

RUN --mount=type=cache,target=/root/.cache \
    /opt/uv/bin/uv pip install --constraint constraints.txt watchfiles && \
    for project in . plugins/*/; do /opt/uv/bin/uv pip install --no-deps --editable "$project"; done && \
    useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin platform && \
    install -d -o 10001 -g 10001 /run/platform-secrets /var/lib/platform
ENV PATH=/opt/platform/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PLATFORM_INTERNAL_PORT=9090
USER 10001:10001
ENTRYPOINT ["platform"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]

# ── what ships ───────────────────────────────────────────────────────────────────────────────────
FROM ${PYTHON_IMAGE} AS runtime

ARG MODULES_FILE=""
ARG VERSION="0.1.0"
ARG REVISION="unknown"
LABEL org.opencontainers.image.title="Platform Core" \
      org.opencontainers.image.description="A small kernel that declares and verifies; plugins that are ordinary packages." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin platform && \
    install -d -o 10001 -g 10001 /run/platform-secrets /var/lib/platform
COPY --from=build /opt/platform /opt/platform

# The root file system may be read-only: /tmp is all that is written to, for drafts of uploads and marks of starts. It
# should outlive a restart of the container, as an emptyDir or a tmpfs does.
ENV PATH=/opt/platform/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PLATFORM_DATA_DIR=/var/lib/platform \
    PLATFORM_MODULES_FILE=${MODULES_FILE:+/opt/platform/modules.txt} \
    PLATFORM_INTERNAL_PORT=9090
WORKDIR /var/lib/platform
USER 10001:10001
EXPOSE 8000 9090
# Alive is enough: a process that waits for its database need not be replaced. The same for api, worker and scheduler.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python3", "-I", "-S", "-c", "import http.client as h, os; c = h.HTTPConnection('127.0.0.1', int(os.environ['PLATFORM_INTERNAL_PORT']), timeout=2); c.request('GET', '/health/live'); raise SystemExit(c.getresponse().status != 200)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["platform"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
