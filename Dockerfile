# Built in two stages, so that neither uv nor its cache is in the image that runs.
FROM python:3.12-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /build
COPY requirements/runtime.txt requirements/runtime.txt
RUN uv venv /opt/prelabel && uv pip sync --python /opt/prelabel --no-cache --require-hashes requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY ml_backend ml_backend
RUN uv pip install --python /opt/prelabel --no-cache --no-deps .

FROM python:3.12-slim
COPY --from=build /opt/prelabel /opt/prelabel
# Folders that the service may write to even where fresh volumes are mounted over them.
RUN useradd --uid 10001 --create-home prelabel && mkdir /models /cache /data && chown prelabel /models /cache /data
USER prelabel
ENV PATH=/opt/prelabel/bin:$PATH TFHUB_CACHE_DIR=/models PRELABEL_CACHE_FILE=/cache/cache.sqlite3 \
    PRELABEL_DATABASE_URL=sqlite:////data/feedback.sqlite3 PYTHONUNBUFFERED=1
VOLUME ["/models", "/cache", "/data"]
EXPOSE 9090
# The port opens only when the detector is loaded and warm; the first start may have to download it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10m --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT', '9090')}/health\", timeout=2)"]
# One process: its threads share one detector, and TensorFlow must not be forked once it is loaded.
ENTRYPOINT ["prelabel"]
CMD ["serve"]
