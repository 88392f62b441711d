"""Run Schemathesis, with all checks and links between operations, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine, text

from ..servers import CHECKOUT, SECRET_KEY, gunicorn, mail_server, postgres

CONFIG = Path(__file__).parent / "schemathesis.toml"
URL = "https://app.example.com"
ANN = {"name": "Ann Example", "email": "ann@example.com", "password": "correct horse battery"}
# About 15,000 requests to each database
EXAMPLES = os.environ.get("EXAMPLES", "400")
# "sqlite" or "postgresql" runs only that one
DATABASE = os.environ.get("DATABASE", "")


def main() -> None:
    """Exit with an error if a check fails; arguments are passed to Schemathesis."""
    with TemporaryDirectory() as folder, postgres() as server, mail_server() as mailbox:
        mail = {"SMTP_URL": mailbox.url, "MAIL_FROM": "movies@example.com", "FRONTEND_URL": URL}
        for url in (f"sqlite:///{folder}/movies.db", server.create_database("movies_api_fuzz")):
            if not url.startswith(DATABASE):
                continue
            variables = {**os.environ, "DATABASE_URL": url, "INSTANCE_DIR": folder}
            variables["SECRET_KEY"] = SECRET_KEY
            upgrade = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
            subprocess.run(upgrade, cwd=CHECKOUT, env=variables, capture_output=True, check=True)
            with gunicorn(url, LOG_LEVEL="WARNING", **mail) as service:
                service.request("POST", "/auth/signup", ANN)
                engine = create_engine(url)
                with engine.begin() as connection:
                    connection.execute(text("UPDATE users SET role = 'admin'"))
                engine.dispose()
                print(f"\nSchemathesis on {url.partition(':')[0]}", flush=True)
                command = [Path(sys.executable).parent / "schemathesis", "--config-file", CONFIG]
                command += ["run", f"{service.url}/openapi.json", "--no-color", "-n", EXAMPLES]
                command += sys.argv[1:]
                variables["API_URL"] = service.url
                subprocess.run(command, cwd=CHECKOUT, env=variables, check=True)


if __name__ == "__main__":
    main()
