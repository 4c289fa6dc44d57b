# The image, one target for each way to run it; the last one is what a plain build makes:
#   fetch     brings bundles from object storage (the chart's init container)
#   loadtest  Locust and `python -m loadtest` (the chart's load-test Job)
#   gpu       the server on CUDA
#   cpu       the server on ONNX Runtime and OpenVINO
# Every file that is installed is locked by its hash in locked/, for all processors, and the base by
# its digest: that of 3.13.15-slim-trixie. `docker buildx imagetools inspect python:3.13-slim` names
# the newest. Another base: --build-arg BASE=...; a server with what the text log needs: TEXT_LOG=1.
# checkov:skip=CKV_DOCKER_7:BASE names a version; checkov does not read the ARG's default
ARG BASE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b

# --- Dependencies, one virtual environment for each target ---------------------------------------
FROM ${BASE} AS builder
WORKDIR /source
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY locked locked
# The environments hold no pip: the builder's own fills them. The SBOM's tool stays here as well.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m venv --without-pip /opt/sizewise \
    && ln -s "$(ls /opt/sizewise/lib)" /opt/sizewise/lib/python3 \
    && python -m venv /opt/sbom \
    && /opt/sbom/bin/pip install --quiet --require-hashes --requirement locked/build.txt
# Only what names the dependencies, so that a change of the sources does not install them again.
COPY pyproject.toml README.md LICENSE NOTICE ./
RUN /opt/sbom/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels .

FROM builder AS fetch-environment
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/sizewise/bin/python install --require-hashes --requirement locked/fetch.txt \
    && pip --python /opt/sizewise/bin/python install --no-deps /wheels/*.whl \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
       --output-file /opt/sizewise/sbom.cdx.json /opt/sizewise

FROM builder AS loadtest-environment
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/sizewise/bin/python install --require-hashes --requirement locked/loadtest.txt \
    && pip --python /opt/sizewise/bin/python install --no-deps /wheels/*.whl \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
       --output-file /opt/sizewise/sbom.cdx.json /opt/sizewise

FROM builder AS gpu-environment
ARG TEXT_LOG
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/sizewise/bin/python install --require-hashes --requirement locked/gpu.txt \
       ${TEXT_LOG:+--requirement locked/fetch.txt --requirement locked/offline.txt} \
    && pip --python /opt/sizewise/bin/python install --no-deps /wheels/*.whl \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
       --output-file /opt/sizewise/sbom.cdx.json /opt/sizewise

FROM builder AS cpu-environment
ARG TEXT_LOG
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /opt/sizewise/bin/python install --require-hashes --requirement locked/cpu.txt \
       ${TEXT_LOG:+--requirement locked/fetch.txt --requirement locked/offline.txt} \
    && pip --python /opt/sizewise/bin/python install --no-deps /wheels/*.whl \
    && /opt/sbom/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
       --output-file /opt/sizewise/sbom.cdx.json /opt/sizewise
# What serving ONNX on a CPU never opens: OpenVINO's GPU and NPU plugins with their kernels, its
# readers of other formats and C++ headers, ONNX Runtime's tools for making models and its C library
# (the Python module has the runtime linked into it), and NumPy's own tests. -f, because the wheel
# for arm64 has no GPU and NPU plugins.
WORKDIR /opt/sizewise/lib/python3/site-packages
RUN rm -rf openvino/include openvino/cmake openvino/tools openvino/libs/cache.json \
       openvino/libs/libopenvino_intel_gpu_plugin.so openvino/libs/libopenvino_intel_npu_plugin.so \
       openvino/libs/libopenvino_*tensorflow*_frontend.so* \
       openvino/libs/libopenvino_pytorch_frontend.so* openvino/libs/libopenvino_paddle_frontend.so* \
       openvino/libs/libopenvino_gguf_frontend.so* openvino/libs/libopenvino_jax_frontend.so* \
       onnxruntime/transformers onnxruntime/tools onnxruntime/quantization onnxruntime/datasets \
       onnxruntime/capi/libonnxruntime.so.* numpy/tests numpy/*/tests

# --- The package alone: the small layer that a release changes -----------------------------------
FROM builder AS package
COPY serving serving
COPY loadtest loadtest
COPY models models
# The servers' images have the shipped family in /models, and the others need none.
RUN --mount=type=cache,target=/root/.cache/pip \
    rm -r models/registry \
    && /opt/sbom/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /package-wheel . \
    && pip --python /opt/sizewise/bin/python install --no-deps --root /package /package-wheel/*.whl

# --- What all targets share ----------------------------------------------------------------------
FROM ${BASE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Sizewise" \
      org.opencontainers.image.description="Serves compressed text classifiers at the right size" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
# Nothing is written but to /tmp, so that a read-only root file system will do.
ENV PATH=/opt/sizewise/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/sizewise
USER 10001:10001

FROM runtime AS fetch
COPY --from=fetch-environment /opt/sizewise /opt/sizewise
COPY --from=package /package /
CMD ["python", "-m", "serving", "fetch", "--help"]

FROM runtime AS loadtest
COPY --from=loadtest-environment /opt/sizewise /opt/sizewise
# The sources with their scenarios, where README's paths find them.
COPY loadtest loadtest
CMD ["python", "-m", "loadtest", "--help"]

FROM runtime AS server
ENV SIZEWISE_HOST=:: \
    SIZEWISE_REGISTRY=/models
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('SIZEWISE_PORT', '8000') + '/health/ready', timeout=2)"]
CMD ["python", "-m", "serving"]

FROM server AS gpu
ENV SIZEWISE_DEVICE=cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=gpu-environment /opt/sizewise /opt/sizewise
COPY models/registry /models
COPY --from=package /package /

FROM server AS cpu
COPY --from=cpu-environment /opt/sizewise /opt/sizewise
COPY models/registry /models
COPY --from=package /package /
