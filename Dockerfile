# Three stages: the locked dependencies, the package, and the image that runs, with each in a layer of its own. A change of the code makes
# less than 2 MB anew. Neither uv nor the build backend is in the last one.
#
# The tag names a version of Python, since a digest would also fix the security updates of its Debian. To fix both, build with
# --build-arg PYTHON=python@sha256:… and renew the digest regularly.
ARG PYTHON=python:3.12-slim

FROM ${PYTHON} AS dependencies
COPY requirements/build.txt /build/
RUN pip install --no-cache-dir --root-user-action=ignore --require-hashes --requirement /build/build.txt
COPY requirements/runtime.txt /build/
# Bytecode, since the user of the service cannot write it: each start would compile TensorFlow anew, for ten seconds.
RUN uv venv /opt/prelabel && uv pip sync --python /opt/prelabel --no-cache --require-hashes --compile-bytecode /build/runtime.txt
# Headers and the names of internal symbols serve those who compile operations: 0.3 GB.
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends binutils >/dev/null \
 && cd /opt/prelabel/lib/python3.*/site-packages/tensorflow && rm -rf include && strip --strip-unneeded libtensorflow_cc.so.*

FROM dependencies AS package
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY ml_backend ml_backend
# The backend is the one of build.txt, so nothing is downloaded here.
RUN uv build --quiet --wheel --no-build-isolation --out-dir /wheels . \
 && uv pip install --quiet --offline --no-deps --compile-bytecode --python /opt/prelabel --target /opt/package /wheels/*.whl

FROM ${PYTHON}
LABEL org.opencontainers.image.title="Prelabel" \
      org.opencontainers.image.description="Image pre-annotation for Label Studio" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/prelabel/prelabel"
COPY --from=dependencies /opt/prelabel /opt/prelabel
COPY --from=package /opt/package /opt/package
# Folders for volumes, and one to work in. Group 0 may write to them too, for platforms that choose the user (OpenShift).
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /work prelabel \
 && install --directory --owner 10001 --group 0 --mode 0775 /models /cache /data /work
ENV PATH=/opt/package/bin:/opt/prelabel/bin:$PATH PYTHONPATH=/opt/package PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PRELABEL_HOME=/data TFHUB_CACHE_DIR=/models PRELABEL_CACHE_FILE=/cache/cache.sqlite3
# By number, so that Kubernetes can tell that it is not root (runAsNonRoot).
USER 10001:10001
WORKDIR /work
EXPOSE 9090
# By the shell, which takes 2 ms of a processor; Python would take 200 ms. 503 means that the models are loading: the first start may have
# to download them.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10m --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${PORT:-9090} && printf 'GET /health HTTP/1.0\\r\\n\\r\\n' >&3 && read -r -t 4 status <&3 && [[ $status == *' 200 '* ]]"]
# One process: its threads share one model, and TensorFlow must not be forked once it is loaded.
ENTRYPOINT ["prelabel"]
CMD ["serve"]
