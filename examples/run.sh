#!/usr/bin/env bash
# Lint the sample frontends, build them, and drive them in Chromium. Needs Node 20.9, npm, and Chromium with ChromeDriver.
set -euo pipefail
cd "$(dirname "$0")"
for program in npm chromium chromedriver; do
  if ! command -v "$program" >/dev/null; then
    echo "Skipped: make examples needs Node 20.9 or later, npm, chromium and chromedriver."
    exit 0
  fi
done
[ -n "${SKIP_INSTALL:-}" ] || npm ci --no-audit --no-fund --loglevel error
npm run --silent schema
npm run --silent lint
cd ..
exec timeout 900 .venv/bin/python -m pytest --database sqlite tests/sample_apps.py "$@"
