// lib/files.js
import { API, accessToken, fetchWithSession, read, refresh } from "./api.js";
import { upload } from "./upload.js";

// Returns the report: { counts: { added, skipped, rejected }, rows, ... }
export async function importMovies(file, onProgress) {
  await refresh(); // or a large file would be sent twice when the token has expired
  const headers = { Authorization: `Bearer ${accessToken}` };
  const form = new FormData(); // it sends the file's name, too: watched.csv and watchlist.csv are alike
  form.append("file", file);
  return upload("POST", `${API}/movies/import`, headers, form, onProgress);
}

// Saves all movies as a file, in the format csv, json or ndjson
export async function downloadMovies(format = "csv") {
  const response = await fetchWithSession(`${API}/movies/export?format=${format}`);
  if (!response.ok) await read(response); // throws the error
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = `movies.${format}`;
  link.click();
  setTimeout(URL.revokeObjectURL, 60_000, link.href);
}
