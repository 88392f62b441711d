// Use the fetch client and the zod schemas that orval generates.
import assert from "node:assert/strict";
import * as api from "./out/orval/fetch.js";
import * as zod from "./out/orval/zod.js";

const email = `ben-${Date.now()}@example.com`;
const password = "correct horse battery";
const body = zod.signUpBody.parse({ name: "Ben Example", email, password });
const signup = await api.signUp(body);
assert(signup.status === 201);
const headers = { Authorization: `Bearer ${signup.data.accessToken}` };
assert(!zod.signUpBody.safeParse({ ...body, password: "short" }).success);

// CRUD and If-Match
const added = await api.createMovie({ title: "Alien", year: 1979, rating: 9 }, { headers });
assert(added.status === 201);
const { id } = added.data;
const match = { headers: { ...headers, "If-Match": added.headers.get("ETag")! } };
const updated = await api.updateMovieByPut(id, { ...added.data, title: "Aliens" }, match);
assert(updated.status === 200);
const stale = await api.updateMovieByPatch(id, { title: "Alien 3" }, match);
assert(stale.status === 412);
assert.equal(stale.data.error.code, "PRECONDITION_FAILED");

// Upload
const png = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const upload = await api.requestUpload({ contentType: "image/png", size: png.length }, { headers });
assert(upload.status === 201);
const { uploadUrl, method, headers: sent, imageUrl } = upload.data;
assert.equal((await fetch(uploadUrl, { method, headers: sent, body: png })).status, 201);
const shown = await api.updateMovieByPatch(id, { imageUrl }, { headers });
assert(shown.status === 200 && zod.updateMovieByPatchResponse.parse(shown.data).imageUrl);
const read = zod.getMovieResponse.parse((await api.getMovie(id, { headers })).data);
assert.deepEqual([read.title, read.year], ["Aliens", "1979"]);

// Import, lists and export
const file = new Blob(["title,year\nBrazil,1985\n,1900\n"]);
const imported = await api.importMovies({ file }, { dryRun: false }, { headers });
assert.equal(zod.importMoviesResponse.parse(imported.data).counts.rejected, 1);
const page = zod.listMoviesResponse.parse((await api.listMovies({ limit: 1 }, { headers })).data);
assert("total" in page.meta && page.meta.total === 2);
const cursor = page.meta.nextCursor!;
const next = zod.listMoviesResponse.parse((await api.listMovies({ limit: 1, cursor }, { headers })).data);
assert.deepEqual([next.items.length, "total" in next.meta, next.meta.nextCursor], [1, false, null]);
const exported = await api.exportMovies({ format: "json" }, { headers });
assert.equal(zod.exportMoviesResponse.parse(exported.data).length, 2);

assert.equal((await api.deleteMovie(id, { headers })).status, 204);
const gone = await api.getMovie(id, { headers });
assert(gone.status === 404 && gone.data.error.code === "NOT_FOUND");
assert.equal((await api.deleteAccount({ password }, { headers })).status, 204);
console.log("orval used: signup, movies, If-Match, upload, import, export");
