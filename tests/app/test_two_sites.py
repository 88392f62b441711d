"""A frontend and an API on two sites, over https, in a real Chromium."""

import json
import shutil
import subprocess
from contextlib import contextmanager

import pytest

from ..browser import NO_BROWSER, ScriptError, chromium, has_browser
from ..examples import file_example
from ..helpers import ANN
from ..servers import free_port, gunicorn, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_browser(), reason=NO_BROWSER),
    pytest.mark.skipif(not shutil.which("nginx"), reason="There is no nginx on PATH."),
]

APP, API = "app.example.com", "api.example.org"
PAGE = """<!doctype html><title>A frontend</title><link rel="icon" href="data:,">
<script type="module">import * as client from "/lib/api.js"; window.client = client;</script>"""
CONFIGURATION = """
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    types {{ text/html html; text/javascript js; }}
    ssl_certificate cert.pem;
    ssl_certificate_key key.pem;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    server {{ listen 127.0.0.1:{port} ssl; server_name {app}; root {folder}/site; }}
    server {{
        listen 127.0.0.1:{port} ssl; server_name {api};
        location / {{ proxy_pass {service}; }}
        location /v1/api/ {{
            proxy_pass {service}/;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Prefix /v1/api;
        }}
    }}
}}
"""


@pytest.fixture(scope="module")
def browser():
    """A Chromium that finds both names on this machine and blocks third-party cookies."""
    with chromium(
        f"--host-resolver-rules=MAP {APP} 127.0.0.1, MAP {API} 127.0.0.1",
        "--ignore-certificate-errors",
        "--test-third-party-cookie-phaseout",
    ) as browser:
        yield browser


@pytest.fixture(scope="module")
def port():
    """The port of both sites."""
    return free_port()


@contextmanager
def sites(folder, port, service, base):
    """Serve the frontend of docs/frontend.md, and the API, by nginx."""
    make_key = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    (folder / "site" / "lib").mkdir(parents=True)
    subprocess.run([*make_key, *files], check=True, capture_output=True)
    (folder / "site" / "index.html").write_text(PAGE)
    (folder / "site" / "lib" / "api.js").write_text(file_example("lib/api.js", base))
    text = CONFIGURATION.format(port=port, app=APP, api=API, folder=folder, service=service.url)
    (folder / "nginx.conf").write_text(text)
    log = folder / "log"
    with log.open("wb") as output:
        command = ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until((folder / "nginx.pid").exists, process, log)
        yield
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("prefix", ["", "/v1/api"])
def test_a_page_of_another_site_stays_logged_in(browser, app, database, tmp_path, port, prefix):
    settings = {
        "CORS_ORIGIN": f"https://{APP}:{port}",
        "PROXY_HOPS": "1",
        "COOKIE_SAMESITE": "None",
    }
    with (
        gunicorn(database.url, workers=1, **settings) as service,
        sites(tmp_path, port, service, f"https://{API}:{port}{prefix}"),
    ):
        browser.open(f"https://{APP}:{port}/")
        user = browser.run("return client.signUp(args[0])", ANN)
        browser.reload()

        assert browser.run("return client.refresh()")["id"] == user["id"]
        assert browser.run("return client.refresh()")["id"] == user["id"]
        browser.run("await client.logOut()")
        with pytest.raises(ScriptError, match="You are not logged in"):
            browser.run("await client.refresh()")


def test_the_cookie_of_an_earlier_setting_is_not_used(browser, app, database, tmp_path, port):
    site = f"https://{API}:{port}"
    call = """return (await (await fetch(`/auth/${args[0]}`, {
        method: "POST", headers: {"Content-Type": "application/json"}, body: args[1],
    })).json()).user.email"""
    for samesite, email in (("Strict", "ann@example.com"), ("None", "bob@example.com")):
        settings = {"CORS_ORIGIN": site, "PROXY_HOPS": "1", "COOKIE_SAMESITE": samesite}
        with (
            gunicorn(database.url, workers=1, **settings) as service,
            sites(tmp_path / samesite, port, service, site),
        ):
            browser.open(f"{site}/docs")
            browser.run(call, "signup", json.dumps({**ANN, "email": email}))

            assert browser.run(call, "refresh") == email
