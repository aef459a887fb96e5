# syntax=docker/dockerfile:1
#
#   docker build --target cpu -t sam-serve:cpu .
#   docker build --target gpu -t sam-serve:gpu .          # the host needs the NVIDIA driver and container toolkit
#   docker run --init --shm-size 2g -p 127.0.0.1:5000:5000 -e SAM_MODEL_TYPE=demo sam-serve:cpu
#
# `docker stop --time 150` answers the requests under way first, for as long as that takes; the 10 s of docker's own are too
# short for many.
#
# Other models come by volume, checkpoints in /models and ONNX pairs in /models/onnx, where uid 1000 can read them:
#   docker run … -v sam-models:/models -e SAM_MODEL_TYPE=vit_b sam-serve:cpu
# A named volume that is empty gets the demo model from docker; a folder of yours hides it. A checkpoint runs on PyTorch, and
# downloads itself, in images built with `--build-arg PYTORCH=-pytorch`.
#
# The cpu target was built by buildah, on a stand-in for the base image (Debian 12 with its own Python 3.11): 1.1 GB, 0.8 GB of it
# the environment, and no torch in it. runc ran it as its user on the host's network: healthy 34 s after it was started, on two
# cores, and stopped in order, as process 1. The gpu target has not been built.

FROM python:3.11-slim-bookworm AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PATH=/opt/venv/bin:$PATH

FROM base AS build
ARG PYTORCH=""
RUN python -m venv /opt/venv
WORKDIR /app

FROM build AS build-cpu
COPY requirements/ requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/cpu${PYTORCH}.txt

FROM build AS build-gpu
COPY requirements/ requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/gpu${PYTORCH}.txt

FROM base AS server
RUN useradd --create-home --uid 1000 sam && install -d -o sam -g sam /models /models/onnx
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY segmentation/ segmentation/
COPY deployments/ deployments/
COPY conversion/ conversion/
COPY config/ config/
COPY model/ model/
COPY --chown=sam:sam model/sam_demo.pth /models/
COPY --chown=sam:sam model/onnx/ /models/onnx/
ENV PYTHONPATH=/app SAM_MODEL_DIR=/models SAM_ONNX_DIR=/models/onnx NUMBA_CACHE_DIR=/home/sam/.cache/numba
# What stands before Serve's own HTTP: deployments/load_shedder.py.
ENV RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=deployments.load_shedder.open_load_shedder
# glibc keeps memory for every thread that has ever needed some, in processes with dozens of them.
ENV MALLOC_ARENA_MAX=1
# Ray sends no usage report.
ENV RAY_USAGE_STATS_ENABLED=0
# Fewer series of Ray's own, whose agent takes long to write them out: docs/operations.md, "What metrics cost".
ENV RAY_metric_cardinality_level=low \
    RAY_SERVE_COMPACT_LONG_POLL_METRIC_TAGS=1 \
    RAY_SERVE_REQUEST_LATENCY_BUCKETS_MS=20,100,500,2000,10000,60000 \
    RAY_SERVE_REPLICA_STARTUP_SHUTDOWN_LATENCY_BUCKETS_MS=1000,5000,20000,60000
USER sam
VOLUME /models
# 8265 is Ray's dashboard, 8080 its metrics on Kubernetes.
EXPOSE 5000 8265 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python", "-c", "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:5000/health', timeout=8)"]
# Not an ENV: nodes of a cluster, which KubeRay starts from this image, listen for each other.
CMD ["env", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0", "python", "-m", "deployments.run", "--address", "local", "config/container.yaml"]

FROM server AS gpu
ARG PYTORCH=""
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# triton, which compiles the kernels of the bf16 and fp16 encoder where they run, needs a C compiler for that.
USER root
RUN if [ -n "$PYTORCH" ]; then \
      apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*; \
    fi
USER sam
COPY --from=build-gpu /opt/venv /opt/venv

# The last target is what `docker build .` makes.
FROM server AS cpu
COPY --from=build-cpu /opt/venv /opt/venv
