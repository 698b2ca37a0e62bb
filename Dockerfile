# syntax=docker/dockerfile:1
# Recant and Airflow in one image: every component of docker-compose.yml that is ours runs from it.
#
#   docker build -t recant .
#   docker build -t recant --build-arg TORCH_INDEX=<address of a package index that has CPU wheels of torch> .
#
# Plain Python rather than apache/airflow: the versions are those of constraints.txt, tried together on Python 3.11, and
# nothing else is installed.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG TORCH_INDEX=""
ENV UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/recant/.venv PATH=/opt/recant/.venv/bin:$PATH
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /opt/recant

# What changes seldom first: the packages, by the list of them alone.
COPY constraints.txt pyproject.toml ./
RUN --mount=type=cache,target=/root/.cache \
    python -m venv .venv \
 && pip install --no-cache-dir --disable-pip-version-check "$(grep '^uv==' constraints.txt)" \
 && uv pip install --constraints constraints.txt --build-constraints constraints.txt \
      ${TORCH_INDEX:+--index "$TORCH_INDEX" --index-strategy unsafe-best-match} \
      --requirements pyproject.toml --extra analytics --extra celery

COPY README.md LICENSE ./
COPY include include
RUN --mount=type=cache,target=/root/.cache \
    uv pip install --constraints constraints.txt --build-constraints constraints.txt --no-deps .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="recant" \
      org.opencontainers.image.description="A knowledge base that can take it back" \
      org.opencontainers.image.licenses="Apache-2.0"

# Neither models nor usage reports are looked for outside; data and Airflow's files have a place of their own each.
# hadolint ignore=DL3064
ENV PATH=/opt/recant/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RECANT_PROJECT=/opt/recant \
    RECANT_HOME=/var/lib/recant \
    AIRFLOW_HOME=/opt/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/recant/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/recant/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    GX_ANALYTICS_ENABLED=false \
    HF_HUB_OFFLINE=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    SCARF_ANALYTICS=false \
    DO_NOT_TRACK=1 \
    TOKENIZERS_PARALLELISM=false

RUN groupadd --gid 50000 recant \
 && useradd --uid 50000 --gid recant --no-log-init --create-home --shell /usr/sbin/nologin recant \
 && install --directory --owner recant --group recant --mode 0700 /var/lib/recant /opt/airflow

WORKDIR /opt/recant
COPY --from=build /opt/recant/.venv .venv
COPY init-scripts init-scripts
COPY plugins plugins
COPY dags dags
COPY docs docs
COPY README.md CHANGELOG.md LICENSE ./

USER 50000:50000
VOLUME ["/var/lib/recant", "/opt/airflow"]
CMD ["recant", "--help"]
