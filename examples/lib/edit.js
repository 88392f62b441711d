// lib/edit.js
import { API, fetchWithSession, read } from "./api.js";

async function request(id, options) {
  const response = await fetchWithSession(`${API}/movies/${id}`, options);
  return { movie: await read(response), etag: response.headers.get("ETag") };
}

// Returns { movie, etag }: keep both while the form is open
export const openMovie = (id) => request(id);

// Returns the same; throws PRECONDITION_FAILED if the movie was modified after openMovie
export const saveMovie = (id, changes, etag) =>
  request(id, {
    method: "PATCH",
    headers: { "Content-Type": "application/json", "If-Match": etag },
    body: JSON.stringify(changes),
  });
