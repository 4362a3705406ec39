# Run it with nothing writable but its data:
#
#   docker build -t truthvouch-pagerduty-bridge .
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --stop-timeout 25 \
#     -v bridge-data:/data -p 8080:8080 --env-file bridge.env truthvouch-pagerduty-bridge
#
# The role is the command: `... truthvouch-pagerduty-bridge truthvouch worker` is a worker alone.

FROM python:3.13.9-slim-trixie AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

# Dependencies before code: a change of code rebuilds in seconds.
WORKDIR /srv/bridge
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt
# Editable, so that the code has one home (/srv/bridge) whoever imports it, gunicorn or the truthvouch command.
COPY pyproject.toml ./
COPY app/ app/
COPY truthvouch_pagerduty/ truthvouch_pagerduty/
RUN pip install --no-build-isolation --no-deps -e .


FROM python:3.13.9-slim-trixie

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BRIDGE_DATA_DIR=/data \
    BRIDGE_CONFIG=/data/bridge.yaml \
    LOG_FORMAT=json \
    PORT=8080

# Code and environment belong to root; the process may write to /data and /tmp only.
# /config is for a volume that several containers share (deploy/compose.postgres.yaml).
RUN install -d -o 10001 -g 10001 -m 0700 /data /config
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/bridge
COPY pyproject.toml wsgi.py gunicorn.conf.py ./
COPY app/ app/
COPY truthvouch_pagerduty/ truthvouch_pagerduty/
# Messages name pages of it.
COPY docs/ docs/

USER 10001:10001
VOLUME ["/data"]
EXPOSE 8080

# Liveness only: /readyz is red while a credential is missing, and a restart would not bring it.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/healthz', timeout=4)"]

CMD ["gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
