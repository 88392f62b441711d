# The image also runs commands, such as `flask --app wsgi db upgrade`.
FROM python:3.13-slim AS base

FROM base AS build
RUN python -m venv /venv
COPY requirements.txt /app/
RUN /venv/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes \
        -r /app/requirements.txt \
    && /venv/bin/pip uninstall --quiet --yes pip
COPY . /app/
RUN /venv/bin/python -m compileall -q /app

FROM base
ENV PATH=/venv/bin:$PATH \
    INSTANCE_DIR=/data \
    TMPDIR=/data \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
RUN groupadd --system --gid 10001 app \
    && useradd --system --uid 10001 --gid app --home-dir /data --no-create-home app \
    && install -d -o app -g app -m 700 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
# SQLite database and images, unless DATABASE_URL and S3_BUCKET are set; large requests while they are received
VOLUME /data
EXPOSE 3001
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --start-interval=1s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(f\"http://127.0.0.1:{os.environ.get('PORT') or 3001}/health\", timeout=4)"]
CMD ["gunicorn", "wsgi:app"]
