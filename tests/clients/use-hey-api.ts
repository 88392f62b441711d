// Use the client that hey-api generates.
import assert from "node:assert/strict";
import { client } from "./out/hey-api/client.gen.js";
import * as api from "./out/hey-api/sdk.gen.js";

const email = `cat-${Date.now()}@example.com`;
const password = "correct horse battery";
client.setConfig({ baseUrl: process.env.API_URL! });
const signup = await api.signUp({ body: { name: "Cat Example", email, password } });
assert(signup.data, JSON.stringify(signup.error));
client.setConfig({ auth: signup.data.accessToken });

// CRUD and If-Match
const added = await api.createMovie({ body: { title: "Alien", year: 1979, rating: 9 } });
assert(added.data, JSON.stringify(added.error));
const path = { movie_id: added.data.id };
const headers = { "If-Match": added.response!.headers.get("ETag")! };
const updated = await api.updateMovieByPut({ path, headers, body: { ...added.data, title: "Aliens" } });
assert.equal(updated.data?.year, "1979");
const stale = await api.updateMovieByPatch({ path, headers, body: { title: "Alien 3" } });
assert.equal(stale.error?.error.code, "PRECONDITION_FAILED");

// Upload
const png = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const upload = await api.requestUpload({ body: { contentType: "image/png", size: png.length } });
assert(upload.data, JSON.stringify(upload.error));
const { uploadUrl, method, headers: sent, imageUrl } = upload.data;
assert.equal((await fetch(uploadUrl, { method, headers: sent, body: png })).status, 201);
const shown = await api.updateMovieByPatch({ path, body: { imageUrl } });
assert(shown.data?.imageUrl);

// Import, lists and export
const file = new Blob(["title,year\nBrazil,1985\n,1900\n"]);
const imported = await api.importMovies({ body: { file } });
assert.deepEqual([imported.data?.counts.added, imported.data?.counts.rejected], [1, 1]);
const page = await api.listMovies({ query: { limit: 1 } });
assert(page.data && "total" in page.data.meta);
assert.equal(page.data.meta.total, 2);
const next = await api.listMovies({ query: { limit: 1, cursor: page.data.meta.nextCursor! } });
assert.equal(next.data?.meta.nextCursor, null);
const exported = await api.exportMovies({ query: { format: "json" } });
assert(Array.isArray(exported.data));
assert.deepEqual(exported.data.map((movie) => movie.title), ["Brazil", "Aliens"]);

assert.equal((await api.deleteMovie({ path })).response?.status, 204);
assert.equal((await api.getMovie({ path })).error?.error.code, "NOT_FOUND");
assert.equal((await api.deleteAccount({ body: { password } })).response?.status, 204);
console.log("hey-api used: signup, movies, If-Match, upload, import, export");
