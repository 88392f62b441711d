import { useEffect, useState } from "react";
import { api } from "../lib/api.js";
import { client } from "../lib/client.ts";
import { downloadMovies, importMovies } from "../lib/files.js";
import { uploadImage } from "../lib/images.js";
import { FieldError } from "./field-error.jsx";
import { MovieList } from "./movie-list.jsx";

export function Movies({ attempt, error, Poster }) {
  const [movies, setMovies] = useState([]);
  const [cursor, setCursor] = useState(null);
  const [progress, setProgress] = useState(null);
  const [report, setReport] = useState("");

  async function load(after) {
    const { data, error } = await client.GET("/movies", { params: { query: { cursor: after } } });
    if (error) throw error.error; // with code and message, like an ApiError
    setMovies((shown) => (after ? [...shown, ...data.items] : data.items));
    setCursor(data.meta.nextCursor);
  }

  useEffect(() => {
    attempt(load);
  }, []);

  function add(event) {
    event.preventDefault();
    const form = event.target;
    const { title, year, poster } = Object.fromEntries(new FormData(form));
    attempt(async () => {
      const imageUrl = poster.size ? await uploadImage(poster, setProgress) : null;
      await api("POST", "/movies", { title, year, imageUrl });
      form.reset();
      await load();
    }).finally(() => setProgress(null));
  }

  function importFile(event) {
    const [file] = event.target.files;
    event.target.value = ""; // so that the same file can be picked again
    attempt(async () => {
      const { counts } = await importMovies(file, setProgress);
      setReport(`${counts.added} added, ${counts.skipped} skipped, ${counts.rejected} rejected`);
      await load();
    }).finally(() => setProgress(null));
  }

  return (
    <>
      <form onSubmit={add}>
        <label>
          Title <input name="title" />
          <FieldError error={error} field="title" />
        </label>
        <label>
          Year <input name="year" inputMode="numeric" />
          <FieldError error={error} field="year" />
        </label>
        <label>
          Poster <input name="poster" type="file" accept="image/*" />
          <FieldError error={error} field="imageUrl" />
        </label>
        <button type="submit">Add</button>
      </form>
      <form>
        <label>
          Import a file <input type="file" onChange={importFile} />
        </label>
        <button type="button" onClick={() => attempt(() => downloadMovies("csv"))}>
          Download
        </button>
        {report && <p role="status">{report}</p>}
      </form>
      {progress !== null && <progress value={progress} aria-label="Upload" />}
      <MovieList
        movies={movies}
        Poster={Poster}
        onDelete={(id) => attempt(() => api("DELETE", `/movies/${id}`).then(() => load()))}
      />
      {cursor && (
        <button type="button" onClick={() => attempt(() => load(cursor))}>
          Show more
        </button>
      )}
    </>
  );
}
