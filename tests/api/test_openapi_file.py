"""docs/openapi.yml is valid and current, and its examples match the service."""

import os
import subprocess
import sys

import pytest
import schemathesis

from movies_api.demo import add_demo_data

from ..image_helpers import data_url, make_image, path_of, request_upload
from ..servers import CHECKOUT

pytestmark = pytest.mark.only_on("sqlite")  # what is tested does not depend on the database


@pytest.fixture
def content(client):
    """The served OpenAPI document."""
    return client.get("/openapi.json").json


def test_openapi_document_is_valid(content):
    schemathesis.openapi.from_dict(content).validate()


@pytest.mark.slow
def test_openapi_file_is_current(tmp_path):
    written = tmp_path / "openapi.yml"
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "openapi", str(written)]
    environment = {"PATH": os.environ["PATH"], "INSTANCE_DIR": str(tmp_path)}
    result = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert written.read_text() == (CHECKOUT / "docs" / "openapi.yml").read_text(), (
        "run `flask --app wsgi openapi`"
    )


def test_every_parameter_has_a_description(client):
    for method, path, operation in client.document.operations():
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (method, path, parameter["name"])


def test_only_movie_changes_accept_if_match(client):
    accepting = {
        f"{method} {path}"
        for method, path, operation in client.document.operations()
        if "If-Match" in {parameter["name"] for parameter in operation.get("parameters", [])}
    }

    assert accepting == {f"{method} /movies/{{movie_id}}" for method in ("PUT", "PATCH", "DELETE")}


def request_example(content, method, path):
    """Return the example of a request body, built from its fields as Swagger UI does."""
    reference = content["paths"][path][method]["requestBody"]["content"]["application/json"][
        "schema"
    ]["$ref"]
    fields = content["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
    return {
        name: field["example"] if "example" in field else field["default"]
        for name, field in fields.items()
        if "example" in field or "default" in field  # read-only fields have none
    }


def test_request_examples_are_accepted(content, app, client):
    with app.app_context():
        add_demo_data()  # the example of a login is the demo account
    client.use_session(
        client.post("/auth/signup", json=request_example(content, "post", "/auth/signup")), 201
    )
    client.use_session(
        client.post("/auth/login", json=request_example(content, "post", "/auth/login")), 200
    )
    added = client.post("/movies", json=request_example(content, "post", "/movies"))
    assert added.status_code == 201

    for method in ("put", "patch"):
        sent = request_example(content, method, "/movies/{movie_id}")
        changed = client.open(added.headers["Location"], method=method, json=sent)
        assert changed.json == {**changed.json, **sent}


def test_error_examples_match_responses(content, client, alice, bob, clock):
    own = alice.post("/movies", json={"title": "Alien"}).headers["Location"]
    foreign = bob.post("/movies", json={"title": "Brazil"}).headers["Location"]
    shown = path_of(alice.patch(own, json={"imageUrl": data_url(make_image())}).json["imageUrl"])
    upload_path = path_of(request_upload(alice, make_image())["uploadUrl"])
    signup = {"name": "Alice", "email": alice.user["email"], "password": "correct horse battery"}
    stale = {"If-Match": '"9"'}
    responses = [
        alice.get("/movies?colour=red"),
        alice.post("/movies", json=[]),
        alice.post("/movies", data="title=Alien", content_type="text/plain"),
        alice.post("/images", json={"contentType": "x" * 70_000}),
        client.get(f"/images/{'0' * 64}"),
        client.get(shown, headers={"Range": "bytes=99999-"}),
        client.put(f"/images/{'0' * 32}?signature=x", data=b"x"),
        client.put(upload_path, data=b"x", content_type="image/gif"),
        alice.get("/movies/999999"),
        alice.get(foreign),
        alice.patch(own, json={"title": "Aliens"}, headers=stale),
        client.get("/me"),
        client.get("/me", headers={"Authorization": "Bearer x"}),
        client.post("/auth/refresh"),
        client.post("/auth/signup", json=signup),
        client.post(
            "/auth/signup", json=signup, headers={"Origin": "https://elsewhere.example.com"}
        ),
        client.post("/auth/login", json={"email": alice.user["email"], "password": "wrong"}),
        bob.patch(
            "/me", json={"email": alice.user["email"], "currentPassword": "correct horse battery"}
        ),
        bob.delete("/auth/sessions/7d0c9e52-3f8a-4b61-9c2e-5a1f0b8d4e37"),
        bob.get("/admin/stats"),
    ]
    bob.token = bob.post("/auth/tokens", json={"name": "Backup"}).json["token"]
    responses.append(bob.post("/auth/tokens", json={"name": "Another"}))
    client.refresh_token = "x"
    responses.append(client.post("/auth/refresh"))
    clock.advance(minutes=16)
    responses.append(alice.get("/me"))
    returned = [response.json for response in responses]

    responses = [*content["components"]["responses"].values()]
    for _, _, operation in client.document.operations():
        responses += operation["responses"].values()
    documented = [
        example["value"]
        for response in responses
        for media in response.get("content", {}).values()
        for example in media.get("examples", {}).values()
    ]
    never_returned = [example for example in documented if example not in returned]
    assert {example["error"]["code"] for example in never_returned} == {
        "INTERNAL_ERROR",
        "QUOTA_EXCEEDED",
        "RATE_LIMITED",
        "SERVICE_UNAVAILABLE",
        "SMTP_URL_NOT_SET",
    }
    assert [response for response in returned if response not in documented] == []
