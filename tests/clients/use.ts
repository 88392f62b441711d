// Use the client that is generated from the document: sessions, movies, If-Match, images, files.
import assert from "node:assert/strict";
import createClient, { type Middleware } from "openapi-fetch";
import type { paths } from "./out/schema.js";

const api = createClient<paths>({ baseUrl: process.env.API_URL! });
const email = `ann-${Date.now()}@example.com`;
const password = "correct horse battery";
let token = "";

const authorize: Middleware = {
  onRequest({ request }) {
    if (token) request.headers.set("Authorization", `Bearer ${token}`);
  },
};
api.use(authorize);

// Sessions
const signup = await api.POST("/auth/signup", { body: { name: "Ann Example", email, password } });
assert(signup.data, JSON.stringify(signup.error));
token = signup.data.accessToken;
assert.equal(signup.data.user.email, email);

const wrong = await api.POST("/auth/login", { body: { email, password: "wrong horse" } });
assert(wrong.error);
if (wrong.response.status === 401) assert.equal(wrong.error.error.code, "INVALID_CREDENTIALS");

const me = await api.GET("/me");
assert.equal(me.data?.usage.movies, 0);
const renamed = await api.PATCH("/me", { body: { name: "Ann", preferences: { theme: "dark" } } });
assert.equal(renamed.data?.preferences.theme, "dark");

// Movies
const invalid = await api.POST("/movies", { body: { title: "", year: 1979 } });
assert(invalid.error);
switch (invalid.error.error.code) {
  case "VALIDATION_ERROR": {
    const [first] = invalid.error.error.fields;
    const code: "required" | "too_short" | string | undefined = first?.code;
    assert.deepEqual([first?.field, code], ["title", "required"]);
    assert.equal(invalid.error.error.details.title?.length, 1);
    break;
  }
  case "QUOTA_EXCEEDED":
  case "FORBIDDEN":
  default:
    assert.fail(invalid.error.error.message);
}
const added = await api.POST("/movies", { body: { title: "Alien", year: "1979", rating: 9 } });
assert(added.data, JSON.stringify(added.error));
const path = { movie_id: added.data.id };
const etag = added.response.headers.get("ETag")!;

const { data: read } = await api.GET("/movies/{movie_id}", { params: { path } });
assert(read);
const same = await api.PUT("/movies/{movie_id}", {
  params: { path, header: { "If-Match": etag } },
  body: { ...read, title: "Aliens" }, // what was read can be sent back
});
assert.equal(same.data?.title, "Aliens");
const stale = await api.PATCH("/movies/{movie_id}", {
  params: { path, header: { "If-Match": etag } },
  body: { title: "Alien 3" },
});
assert.equal(stale.error?.error.code, "PRECONDITION_FAILED");

const page = await api.GET("/movies", { params: { query: { search: "alien", sort: "-year" } } });
assert(page.data && "total" in page.data.meta);
assert.equal(page.data.meta.total, 1);
assert.equal(page.data.items[0]?.watchedOn, null);

// Images
const bytes = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const upload = await api.POST("/images", {
  body: { contentType: "image/png", size: bytes.length },
});
assert(upload.data, JSON.stringify(upload.error));
const { uploadUrl, method, headers, imageUrl } = upload.data;
const stored = await fetch(uploadUrl, { method, headers, body: bytes });
assert.equal(stored.status, 201);
const shown = await api.PATCH("/movies/{movie_id}", { params: { path }, body: { imageUrl } });
assert(shown.data?.imageUrl);
assert.equal((await fetch(`${shown.data.imageUrl}?w=160`)).headers.get("Content-Type"), "image/webp");

// Files
const imported = await api.POST("/movies/import", {
  params: { query: { dryRun: false } },
  body: { file: "title,year\nBrazil,1985\n,1900\n" },
  bodySerializer(body) {
    const form = new FormData();
    form.set("file", new Blob([typeof body === "string" ? body : body.file]), "movies.csv");
    return form;
  },
});
assert(imported.data, JSON.stringify(imported.error));
assert.deepEqual({ ...imported.data.counts }, { ...imported.data.counts, added: 1, rejected: 1 });
assert.equal(imported.data.rejected, "title,year\n,1900\n");

const exported = await api.GET("/movies/export", { params: { query: { format: "json" } } });
assert(Array.isArray(exported.data)); // of CSV it is a text
assert.deepEqual(exported.data.map((movie) => movie.title), ["Brazil", "Aliens"]);

// The end
const removed = await api.DELETE("/movies/{movie_id}", { params: { path } });
assert.equal(removed.response.status, 204);
const gone = await api.GET("/movies/{movie_id}", { params: { path } });
assert.equal(gone.error?.error.code, "NOT_FOUND");
const deleted = await api.DELETE("/me", { body: { password } });
assert.equal(deleted.response.status, 204);
console.log("used: signup, movies, If-Match, upload, import, export");
