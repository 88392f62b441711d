# `make` lists what there is. PORT, HOST and DATABASE_URL are honoured where a server is started.
.DEFAULT_GOAL := help

PORT ?= 3001
# Loopback, since everybody knows the password of the demo account
HOST ?= 127.0.0.1
# The first Python that is new enough; `make run PYTHON=...` names another
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
RUN := .venv/bin/python -m
URL := http://localhost:$(PORT)
# .env is compose's; flask need not offer to read it
export FLASK_SKIP_DOTENV := 1

define GREETING

  The API: $(URL)    its documentation: $(URL)/docs    Ctrl-C stops it.
  The demo account is test@example.com / password123; in another terminal:

TOKEN=$$(curl -s $(URL)/auth/login -H 'Content-Type: application/json' -d '{"email": "test@example.com", "password": "password123"}' | sed 's/.*"accessToken": *"\([^"]*\)".*/\1/')
curl -s $(URL)/movies -H "Authorization: Bearer $$TOKEN"
curl -s $(URL)/movies -H "Authorization: Bearer $$TOKEN" -H 'Content-Type: application/json' -d '{"title": "Seven Samurai", "year": "1954"}'

endef
export GREETING

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: prepared ## install, migrate, add demo data to an empty database, serve
	@printf '%s\n' "$$GREETING"
	@exec $(RUN) gunicorn --bind $(HOST):$(PORT) wsgi:app

.PHONY: dev
dev: prepared ## the same by flask's own server, which starts anew when a file changes
	@printf '%s\n' "$$GREETING"
	@exec $(RUN) flask --app wsgi run --debug --host $(HOST) --port $(PORT)

.PHONY: test
test: .venv/dev ## run all tests, in parallel; ARGS="-k refresh" goes to pytest
	@$(RUN) pytest --numprocesses logical $(ARGS)

.PHONY: quick
quick: .venv/dev ## run the tests that need no server, on SQLite
	@$(RUN) pytest --numprocesses logical --database sqlite -m "not slow" $(ARGS)

.PHONY: check
check: .venv/dev ## lint, formatting, types, import layers
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy
	@.venv/bin/lint-imports --cache-dir .venv/import-linter

.PHONY: format
format: .venv/dev ## mend what ruff can mend
	@$(RUN) ruff check --fix-only
	@$(RUN) ruff format

.PHONY: migrate
migrate: .venv/runtime ## bring the database up to date
	@$(RUN) flask --app wsgi db upgrade

.PHONY: seed
seed: .venv/runtime ## add the demo account and its movies, when nobody has an account
	@$(RUN) flask --app wsgi seed

.PHONY: lock
lock: .venv/dev ## write the requirements anew; ARGS=--upgrade takes the newest releases
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(RUN) uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes $(ARGS) --extra redis --extra s3 setup.cfg -o requirements.txt
	@UV_CUSTOM_COMPILE_COMMAND="make lock" $(RUN) uv pip compile --quiet --universal --python-version 3.11 \
		--generate-hashes $(ARGS) --extra redis --extra s3 --extra test --extra dev --constraint requirements.txt setup.cfg -o requirements-dev.txt
	@rm -rf movies_api.egg-info

.PHONY: bench
bench: .venv/dev ## measure requests per second, times, CPU and memory on PostgreSQL
	@$(RUN) bench $(ARGS)

define PORT_CHECK
import socket, sys
host, port = sys.argv[1:]
try:
    socket.create_server((host, int(port))).close()
except (OSError, OverflowError, ValueError) as error:
    sys.exit(f"Port {port} cannot be used ({error}).\nEnd what listens there, or take another: PORT=3002 make run")
endef
export PORT_CHECK

.PHONY: prepared
prepared: .venv/runtime
	@.venv/bin/python -c "$$PORT_CHECK" $(HOST) "$(PORT)"
	@$(RUN) flask --app wsgi db upgrade
	@$(RUN) flask --app wsgi seed

# What is installed is that of the lock, byte for byte
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
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed, and not on PATH; name one: make run PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is not Python 3.11 or later" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment (Debian: apt-get install python3-venv)" >&2; exit 1; }
