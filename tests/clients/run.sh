#!/usr/bin/env bash
# Lint the document, and generate, compile and use clients against a running service. Needs Node 20 and npm.
# With the argument "all", also run Schemathesis, and send the traffic of the test suite through Prism.
set -euo pipefail
cd "$(dirname "$0")"
PYTHON=$PWD/../../.venv/bin/python
if ! command -v npm >/dev/null || [ "$(node -p 'parseInt(process.versions.node)')" -lt 20 ]; then
  echo "Skipped: make clients needs Node 20 or later, and npm."
  exit 0
fi
export CI=1 PORT="${PORT:-3921}" RATELIMIT_ENABLED=false REDOCLY_SUPPRESS_UPDATE_NOTICE=true
INSTANCE_DIR=$(mktemp -d) && export INSTANCE_DIR
URL=http://127.0.0.1:$PORT
stop() { kill "${SERVICE:-}" "${PRISM:-}" 2>/dev/null || true; rm -rf "$INSTANCE_DIR"; }
trap stop EXIT
step() { printf '\n== %s\n' "$*"; "$@"; }
wait_for() { for _ in $(seq 60); do curl -s -o /dev/null "$1" && return; sleep 0.5; done; return 1; }

[ -n "${SKIP_INSTALL:-}" ] || npm ci --no-audit --no-fund --loglevel error
(cd ../.. && $PYTHON -m flask --app wsgi db upgrade && $PYTHON -m flask --app wsgi seed) >/dev/null
(cd ../.. && exec "$PYTHON" -m gunicorn --bind "127.0.0.1:$PORT" wsgi:app) >"$INSTANCE_DIR/log" 2>&1 &
SERVICE=$!
wait_for "$URL/health"
rm -rf out && mkdir out
curl -s "$URL/openapi.json" -o out/openapi.json

step npx redocly lint out/openapi.json --max-problems 20 | tee out/redocly.txt
if grep -Eq '[1-9][0-9]* warning' out/redocly.txt; then exit 1; fi
step npx spectral lint out/openapi.json --fail-severity hint --display-only-failures

step npx openapi-typescript out/openapi.json --default-non-nullable=false -o out/schema.d.ts
step npx tsc
API_URL=$URL step node out/js/use.js

API_URL=$URL step npx orval --config orval.config.ts
step npx openapi-ts -i ./out/openapi.json -o out/hey-api -c @hey-api/client-fetch
step npx tsc -p tsconfig.generated.json
API_URL=$URL step node out/js/use-orval.js
API_URL=$URL step node out/js/use-hey-api.js

step "$PYTHON" -m uv tool run --from openapi-python-client==0.29.1 openapi-python-client generate --path out/openapi.json \
  --output-path out/movies_client --meta none --config python-client.yaml --fail-on-warning
API_URL=$URL PYTHONPATH=out step "$PYTHON" -m uv run --no-project --with httpx==0.28.1 --with attrs==26.1.0 use_python.py

step npx openapi2postmanv2 -s out/openapi.json -o out/collection.json \
  -O parametersResolution=Example >/dev/null
step node postman.mjs
step npx newman run out/run.json --reporters cli --reporter-cli-no-banner

node node_modules/.bin/prism proxy out/openapi.json "$URL" --port $((PORT + 1)) >out/prism.txt 2>&1 &
PRISM=$!
wait_for "http://127.0.0.1:$((PORT + 1))/health"
API_URL=http://127.0.0.1:$((PORT + 1)) step node out/js/use.js
if grep -i "violation: response" out/prism.txt; then exit 1; fi

if [ "${1:-}" = all ]; then
  cd ../..
  step "$PYTHON" -m tests.clients.fuzz
  step "$PYTHON" -m pytest -p tests.clients.through_prism -q --database sqlite -m "not slow" \
    tests/account tests/admin tests/api tests/auth tests/images tests/import_export tests/movies
fi
echo "All clients passed."
