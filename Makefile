# `make` lists the targets. `run` and `dev` use PORT, HOST and DATABASE_URL.
.DEFAULT_GOAL := help

PORT ?= $(or $(shell sed -n 's/^PORT=//p' .env 2>/dev/null),3001)
# Loopback, because the password of the demo account is public
HOST ?= 127.0.0.1
# The first Python that is new enough; `make run PYTHON=...` overrides it
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
RUN := .venv/bin/python -m
# One worker more than there are cores, because many tests wait for servers
PYTEST := pytest --dist worksteal --numprocesses $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
URL := http://localhost:$(PORT)

define GREETING

  API: $(URL)    documentation: $(URL)/docs    Press Ctrl-C to stop.
  Demo account: test@example.com / password123. In another terminal:

TOKEN=$$(curl -s $(URL)/auth/login -H 'Content-Type: application/json' -d '{"email": "test@example.com", "password": "password123"}' | sed 's/.*"accessToken": *"\([^"]*\)".*/\1/')
curl -s $(URL)/movies -H "Authorization: Bearer $$TOKEN"
curl -s $(URL)/movies -H "Authorization: Bearer $$TOKEN" -H 'Content-Type: application/json' -d '{"title": "Seven Samurai", "year": "1954"}'

endef
export GREETING

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: prepared ## install, migrate, add demo data to an empty database, and serve
	@printf '%s\n' "$$GREETING"
	@exec $(RUN) gunicorn --bind $(HOST):$(PORT) wsgi:app

.PHONY: dev
dev: prepared ## like run, with the server of flask, which reloads on changes
	@printf '%s\n' "$$GREETING"
	@exec $(RUN) flask --app wsgi run --debug --host $(HOST) --port $(PORT)

.PHONY: test
test: .venv/dev ## run all tests in parallel; ARGS="-k refresh" is passed to pytest
	@$(RUN) $(PYTEST) $(ARGS)

.PHONY: quick
quick: .venv/dev ## run the fast tests on SQLite
	@$(RUN) $(PYTEST) --database sqlite -m "not slow" $(ARGS)

.PHONY: clients
clients: .venv/dev ## lint the OpenAPI document, and try generated clients (needs Node 20); ARGS=all adds Schemathesis and Prism
	@tests/clients/run.sh $(ARGS)

.PHONY: examples
examples: .venv/dev ## build the sample frontends and drive them in a browser (needs Node 20.9 and Chromium)
	@examples/run.sh $(ARGS)

.PHONY: coverage
coverage: .venv/dev ## measure the branch coverage of the fast tests; fails below the limit in setup.cfg
	@$(RUN) $(PYTEST) --database sqlite -m "not slow" --cov $(ARGS)

.PHONY: check
check: .venv/dev ## check lint, formatting, types and import layers
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy
	@.venv/bin/lint-imports --cache-dir .venv/import-linter

.PHONY: format
format: .venv/dev ## format, and apply the fixes of ruff
	@$(RUN) ruff check --fix-only
	@$(RUN) ruff format

.PHONY: migrate
migrate: .venv/runtime ## apply the migrations
	@$(RUN) flask --app wsgi db upgrade

.PHONY: seed
seed: .venv/runtime ## add demo data to an empty database
	@$(RUN) flask --app wsgi seed

.PHONY: lock
lock: .venv/dev ## regenerate the requirements; ARGS=--upgrade updates them
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(RUN) uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes $(ARGS) --extra doctor --extra metrics --extra redis --extra s3 --extra sentry setup.cfg -o requirements.txt
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(RUN) uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes $(ARGS) --extra doctor --extra metrics --extra redis --extra s3 --extra sentry --extra test --extra dev --constraint requirements.txt setup.cfg -o requirements-dev.txt
	@rm -rf movies_api.egg-info

.PHONY: sbom
sbom: .venv/dev ## write dist/sbom.json: the installed packages and their licences, in CycloneDX
	@$(RUN) uv venv --quiet --clear --python .venv dist/venv
	@$(RUN) uv pip install --quiet --python dist/venv --no-deps --require-hashes --requirement requirements.txt
	@$(RUN) uv tool run --quiet --from cyclonedx-bom==7.5.0 cyclonedx-py environment dist/venv --output-file dist/sbom.json
	@rm -rf dist/venv

.PHONY: bench
bench: .venv/dev ## measure throughput, latency, CPU and memory on PostgreSQL
	@$(RUN) bench $(ARGS)

.PHONY: rolling
rolling: .venv/dev ## count the requests that fail during releases and crashes, behind haproxy and nginx
	@$(RUN) bench.rolling $(ARGS)

define PORT_CHECK
import socket, sys
host, port = sys.argv[1:]
try:
    socket.create_server((host, int(port))).close()
except (OSError, OverflowError, ValueError) as error:
    sys.exit(f"Port {port} cannot be used ({error}).\nStop the process that uses it, or choose another port: PORT=3002 make run")
endef
export PORT_CHECK

.PHONY: prepared
prepared: .venv/runtime
	@.venv/bin/python -c "$$PORT_CHECK" $(HOST) "$(PORT)"
	@$(RUN) flask --app wsgi db upgrade
	@$(RUN) flask --app wsgi seed

# --require-hashes installs exactly the locked files
define install
	@echo "Installing $< into .venv ..."
	@$(RUN) pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes \
		-r $< >.venv/pip.log 2>&1 || { cat .venv/pip.log >&2; exit 1; }
	@touch $@
endef

.venv/runtime: requirements.txt | .venv/bin/python
	$(install)

.venv/dev: requirements-dev.txt | .venv/bin/python
	$(install)

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is required but not on PATH. Set its path: make run PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is not Python 3.11 or later" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv || { rm -rf .venv; echo "$(PYTHON) cannot create a virtual environment (Debian: apt-get install python3-venv)" >&2; exit 1; }
