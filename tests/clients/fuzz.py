"""Run Schemathesis, with all checks and links between operations, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ..servers import CHECKOUT, gunicorn, postgres

CONFIG = Path(__file__).parent / "schemathesis.toml"
# About 15,000 requests to each database
EXAMPLES = os.environ.get("EXAMPLES", "400")


def main() -> None:
    """Exit with an error if a check fails."""
    with TemporaryDirectory() as folder, postgres() as server:
        for url in (f"sqlite:///{folder}/movies.db", server.create_database("movies_api_fuzz")):
            variables = {**os.environ, "DATABASE_URL": url, "INSTANCE_DIR": folder}
            upgrade = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
            subprocess.run(upgrade, cwd=CHECKOUT, env=variables, capture_output=True, check=True)
            with gunicorn(url, LOG_LEVEL="WARNING") as service:
                print(f"\nSchemathesis on {url.partition(':')[0]}", flush=True)
                command = [Path(sys.executable).parent / "schemathesis", "--config-file", CONFIG]
                command += ["run", f"{service.url}/openapi.json", "--no-color", "-n", EXAMPLES]
                variables["API_URL"] = service.url
                subprocess.run(command, cwd=CHECKOUT, env=variables, check=True)


if __name__ == "__main__":
    main()
