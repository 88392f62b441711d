"""The OpenAPI document is valid and complete, and its page loads no external resources."""

import gzip
import re
from urllib.parse import urljoin

import pytest
from jsonschema_rs import Draft202012Validator, meta
from werkzeug.datastructures import Headers

from ..document import Document, DriftError, pointer_of

pytestmark = pytest.mark.only_on("sqlite")  # what is tested does not depend on the database

CAMEL = re.compile(r"[a-z][a-zA-Z0-9]*")


@pytest.fixture
def content(client):
    """The served OpenAPI document."""
    return client.get("/openapi.json").json


def schemas_in(node, path=""):
    """Yield every (path, schema with properties) of the document."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield path, node
        for key, value in node.items():
            yield from schemas_in(value, f"{path}/{key}")
    if isinstance(node, list):
        for number, value in enumerate(node):
            yield from schemas_in(value, f"{path}/{number}")


def contents_in(client):
    """Give every (pointer, media type object) of requests and answers."""
    for method, path, operation in client.document.operations():
        place = f"#/paths/{pointer_of(path)}/{method.lower()}"
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{place}/requestBody/content/{pointer_of(kind)}", media
        for status, response in operation["responses"].items():
            named = response.get("$ref", "").rpartition("/")[2]
            whole = client.document.content["components"]["responses"].get(named, response)
            start = response.get("$ref", f"{place}/responses/{status}")
            for kind, media in whole.get("content", {}).items():
                yield f"{start}/content/{pointer_of(kind)}", media


def test_openapi_version_is_3_1(content):
    assert content["openapi"].startswith("3.1")
    assert content["info"]["title"]
    assert content["info"]["version"]


def test_document_describes_required_routes(client):
    described = {f"{method} {path}" for method, path, _ in client.document.operations()}

    assert {re.sub(r"\{.+\}", "{id}", route) for route in described} >= {
        "POST /auth/signup",
        "POST /auth/login",
        "POST /auth/logout",
        "POST /auth/refresh",
        "GET /me",
        "GET /movies",
        "POST /movies",
        "GET /movies/{id}",
        "PUT /movies/{id}",
        "PATCH /movies/{id}",
        "DELETE /movies/{id}",
        "GET /health",
        "GET /ready",
    }


def test_document_describes_every_route(app, client):
    described = {f"{method} {path}" for method, path, _ in client.document.operations()}

    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule)
        if not path.startswith(("/docs", "/openapi.json")) and path != "/":
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                assert f"{method} {path}" in described


def test_every_operation_has_summary_tags_and_descriptions(client):
    for method, path, operation in client.document.operations():
        assert (method, path, bool(operation.get("summary"))) == (method, path, True)
        assert operation.get("tags"), (method, path)
        for status, response in operation["responses"].items():
            assert "$ref" in response or response.get("description"), (method, path, status)


def test_operation_ids_are_unique(client):
    names = [operation.get("operationId") for _, _, operation in client.document.operations()]

    assert all(names)
    assert len(names) == len(set(names))


def test_every_operation_documents_its_common_errors(client):
    for method, path, operation in client.document.operations():
        statuses = set(operation["responses"])
        assert statuses >= {"500"}, (method, path)
        assert ("401" in statuses) >= bool(operation.get("security")), (method, path)
        if "requestBody" in operation:
            assert statuses >= {"400", "413", "415"}, (method, path)
        if "{" in path:
            assert statuses >= {"404"}, (method, path)
            assert ("403" in statuses) >= bool(operation.get("security")), (method, path)
        if method in ("PUT", "PATCH", "DELETE") and path == "/movies/{movie_id}":
            assert statuses >= {"412"}, (method, path)


def test_field_names_are_camel_case(content):
    names = {name for _, schema in schemas_in(content) for name in schema["properties"]}

    assert len(names) > 15
    assert [name for name in names if not CAMEL.fullmatch(name)] == []


def test_schemas_are_valid(content):
    for _, schema in schemas_in(content):
        meta.validate(schema)


def test_schema_names_have_no_generated_suffixes(content):
    assert [
        name for name in content["components"]["schemas"] if re.search(r"\d$|Schema$|Partial", name)
    ] == []


def test_every_body_has_valid_examples(client):
    document = client.document
    for place, media in contents_in(client):
        if media["schema"].get("format") == "binary":
            continue
        given = [each["value"] for each in media.get("examples", {}).values()]
        validator = document.validator(f"{place}/schema")
        for example in given or [example_of(document, media["schema"])]:
            assert [error.message for error in validator.iter_errors(example)] == [], place


def references_in(node):
    """Return the names of the schemas that a part of the document uses."""
    return set(re.findall(r"#/components/schemas/(\w+)", str(node)))


def test_only_requests_forbid_other_keys(content):
    schemas = content["components"]["schemas"]
    asked = references_in([each.get("requestBody") for path in content["paths"].values() for each in path.values() if "responses" in each])  # fmt: skip
    asked |= {name for each in asked for name in references_in(schemas[each])}

    closed = {name for name, each in schemas.items() if each.get("additionalProperties") is False}
    assert closed == asked
    assert "readOnly" not in str(schemas)


def test_each_status_of_an_operation_lists_its_codes(content):
    schemas, responses = content["components"]["schemas"], content["components"]["responses"]

    def codes_of(path, method, status):
        response = content["paths"][path][method]["responses"][status]
        whole = responses.get(response.get("$ref", "").rpartition("/")[2], response)
        return {
            code
            for name in references_in(whole)
            for code in schemas[name]["properties"]["error"]["properties"]["code"]["enum"]
        }

    assert codes_of("/auth/login", "post", "401") == {"INVALID_CREDENTIALS"}
    assert codes_of("/movies", "get", "400") == {"VALIDATION_ERROR"}
    assert codes_of("/movies", "post", "400") == {"VALIDATION_ERROR", "INVALID_JSON"}
    assert codes_of("/movies", "post", "403") == {"QUOTA_EXCEEDED", "FORBIDDEN"}
    assert codes_of("/movies/import", "post", "400") == {"VALIDATION_ERROR"}


def test_names_the_address_of_the_request(client):
    content = client.get("/openapi.json", base_url="https://api.example.com").json

    assert content["servers"] == [{"url": "https://api.example.com"}]


def test_public_operations_say_so_and_all_have_descriptions(client):
    for method, path, operation in client.document.operations():
        assert "security" in operation, (method, path)
        assert operation.get("description"), (method, path)


def test_every_parameter_has_an_example_that_is_valid(content):
    for path, item in content["paths"].items():
        for method, operation in item.items():
            for each in operation if method == "parameters" else operation.get("parameters", []):
                validator = Draft202012Validator(each["schema"])
                assert each["example"] == "" or validator.is_valid(each["example"]), (path, each)
                assert each["description"], (path, each)


@pytest.mark.parametrize("query", ["page=1", "cursor="])
def test_position_of_a_page_has_one_schema(alice, query):
    alice.post("/movies", json={"title": "Alien"})
    alice.post("/movies", json={"title": "Aliens"})
    if query == "cursor=":
        query += alice.get("/movies?limit=1").json["meta"]["nextCursor"]
    meta = alice.get(f"/movies?limit=1&{query}").json["meta"]
    schemas = [f"#/components/schemas/{name}" for name in ("PageMeta", "CursorMeta")]

    document = Document(alice.get("/openapi.json").json, closed=False)
    assert [document.validator(each).is_valid(meta) for each in schemas].count(True) == 1


def test_lists_the_media_types_and_widths_of_images(content):
    paths = content["paths"]
    width = next(
        each for each in paths["/images/{name}"]["get"]["parameters"] if each["name"] == "w"
    )

    assert set(paths["/images/{name}"]["put"]["requestBody"]["content"]) == {
        *("image/avif", "image/gif", "image/jpeg", "image/png", "image/webp"),
    }
    assert width["schema"] == {"type": "integer", "enum": [160, 320, 640]}


def example_of(document, schema):
    """Build an example of a schema from its properties, as Swagger UI does."""
    if "$ref" in schema:
        return example_of(
            document, document.content["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        )
    given = [schema[key] for key in ("example", "default") if key in schema] + schema.get(
        "enum", []
    )
    if given:
        return given[0]
    if "properties" in schema:
        return {name: example_of(document, each) for name, each in schema["properties"].items()}
    if choices := schema.get("oneOf", schema.get("anyOf")):
        return example_of(document, choices[0])
    if schema.get("type") == "array":
        return [example_of(document, schema["items"])]
    built_in = {"uuid": "3f2504e0-4f89-41d3-9a0c-0305e82c3301", "date-time": "2026-01-31T12:00:00Z"}
    return built_in.get(
        schema.get("format"),
        {"object": {}, "boolean": True, "string": "x", "integer": 1}.get(schema.get("type")),
    )


def test_docs_page_loads_no_external_resources(client):
    page = client.get("/docs")

    assert page.status_code == 200
    assert page.content_type.startswith("text/html")
    assert re.findall(r"https?://|//[a-z]", page.text) == []
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) >= 3
    for path in loaded:
        asset = client.get(f"/{path}" if not path.startswith("/") else path)
        assert asset.status_code == 200, path
        assert asset.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/docs/"])
def test_the_addresses_beside_the_page_lead_there(client, path):
    response = client.get(path)

    assert response.status_code == 302
    assert (
        urljoin(f"http://localhost{path}", response.headers["Location"]) == "http://localhost/docs"
    )


def test_the_page_takes_less_than_500_kb_over_the_wire(client):
    loaded = re.findall(r'(?:src|href)="([^"]+)"', client.get("/docs").text)
    size = 0
    for path in loaded:
        plain = client.get(f"/{path}")
        packed = client.get(f"/{path}", headers={"Accept-Encoding": "gzip, br"})
        again = client.get(f"/{path}", headers={"If-None-Match": packed.headers["ETag"], "Accept-Encoding": "gzip"})  # fmt: skip
        assert packed.headers["Content-Encoding"] == "gzip", path
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert gzip.decompress(packed.data) == plain.data
        assert again.status_code == 304
        assert packed.headers["Content-Type"] == plain.headers["Content-Type"]
        size += len(packed.data)

    assert "openapi.json" in client.get("/docs").text
    assert size < 500_000


def test_json_ends_with_a_newline(client):
    assert client.get("/health").data == b'{"status":"ok"}\n'
    assert client.get("/nothing").data.endswith(b"}}\n")


def test_docs_page_csp_allows_only_own_origin(client):
    policy = dict(
        part.split(maxsplit=1)
        for part in client.get("/docs").headers["Content-Security-Policy"].split("; ")
    )

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert "blob:" in policy["img-src"]  # images of "Try it out"
    assert policy["frame-ancestors"] == "'none'"
    assert "http" not in str(policy)
    assert "<script>" not in client.get("/docs").text


# --- the checker that compares the responses of all other tests with the document

HEADERS = Headers({"X-Request-ID": "x", "Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("method", "path", "status", "body", "message"),
    [
        ("GET", "/health", 200, b'{"status": "ok", "more": 1}', "Additional properties"),
        ("GET", "/health", 200, b"{}", "required"),
        ("GET", "/health", 200, b'{"status": 1}', "not of type"),
        ("GET", "/health", 200, b"{", "not JSON"),
        ("GET", "/health", 202, b"{}", "status is not documented"),
        ("GET", "/nothing", 200, b"{}", "path is not documented"),
        ("POST", "/health", 200, b"{}", "method is not documented"),
        ("GET", "/nothing", 404, b'{"error": "no"}', "not of type"),
        (
            "GET",
            "/nothing",
            404,
            b'{"error": {"code": "USER_EXISTS", "message": "x", "details": {}}}',
            "does not belong",
        ),
        (
            "GET",
            "/me",
            401,
            b'{"error": {"code": "INVALID_TOKEN", "message": "x", "details": {}}}',
            "WWW-Authenticate",
        ),
        ("DELETE", "/movies/1", 204, b"{}", "a body where none"),
    ],
)
def test_checker_detects_drift(client, method, path, status, body, message):
    with pytest.raises(DriftError, match=message):
        client.document.check(method, path, status, HEADERS, body)


def test_checker_rejects_time_that_is_not_utc(alice):
    body = alice.get("/me").data.replace(b'Z"', b'+01:00"')

    with pytest.raises(DriftError, match="date-time"):
        alice.document.check("GET", "/me", 200, HEADERS, body)


def test_checker_accepts_documented_response(client):
    assert isinstance(client.document, Document)
    client.document.check("GET", "/health", 200, HEADERS, b'{"status": "ok"}')
