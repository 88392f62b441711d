import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { api, logIn, logOut, refresh, signUp } from "./lib/api.js";
import { downloadMovies, importMovies } from "./lib/files.js";
import thumbnail from "./lib/image-loader.js";
import { uploadImage } from "./lib/images.js";

// The messages of a VALIDATION_ERROR for one form field
const FieldError = ({ error, field }) => {
  const messages = error?.details?.[field];
  return messages ? <small>{messages.join(" ")}</small> : null;
};

// The guard: without a session there is only the login form
function App() {
  const [user, setUser] = useState(undefined); // undefined: not known yet
  const [error, setError] = useState(null);

  useEffect(() => {
    refresh().then(setUser, (failed) => {
      setUser(null);
      if (failed.status !== 401) setError(failed); // offline, for example: there may be a session
    });
  }, []);

  async function attempt(work) {
    setError(null);
    try {
      await work();
    } catch (failed) {
      setError(failed);
      // The session has ended: logged out in another tab, for example
      if (["MISSING_TOKEN", "INVALID_TOKEN"].includes(failed.code)) setUser(null);
    }
  }

  if (user === undefined) return <main>Loading…</main>;
  return (
    <main>
      <header>
        <h1>Movies</h1>
        {user && (
          <>
            <span>{user.name}</span>
            <button type="button" onClick={() => attempt(logOut).then(() => setUser(null))}>
              Log out
            </button>
          </>
        )}
      </header>
      {error && <p role="alert">{error.message}</p>}
      {user ? (
        <Movies attempt={attempt} error={error} />
      ) : (
        <Login attempt={attempt} error={error} onUser={setUser} />
      )}
    </main>
  );
}

function Login({ attempt, error, onUser }) {
  const [isNew, setNew] = useState(false);

  function submit(event) {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target));
    attempt(async () => onUser(await (isNew ? signUp(fields) : logIn({ ...fields, remember: true }))));
  }

  return (
    <form onSubmit={submit} noValidate>
      {isNew && (
        <label>
          Name <input name="name" autoComplete="name" />
          <FieldError error={error} field="name" />
        </label>
      )}
      <label>
        Email <input name="email" type="email" autoComplete="email" />
        <FieldError error={error} field="email" />
      </label>
      <label>
        Password{" "}
        <input name="password" type="password" autoComplete={isNew ? "new-password" : "current-password"} />
        <FieldError error={error} field="password" />
      </label>
      <button type="submit">{isNew ? "Sign up" : "Log in"}</button>
      <button type="button" onClick={() => setNew(!isNew)}>
        {isNew ? "Log in instead" : "Create an account"}
      </button>
    </form>
  );
}

function Movies({ attempt, error }) {
  const [movies, setMovies] = useState([]);
  const [cursor, setCursor] = useState(null);
  const [progress, setProgress] = useState(null);
  const [report, setReport] = useState("");

  async function load(query = "") {
    const { items, meta } = await api("GET", `/movies${query}`);
    setMovies((shown) => (query ? [...shown, ...items] : items));
    setCursor(meta.nextCursor);
  }

  // biome-ignore lint/correctness/useExhaustiveDependencies: load once
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
      <ul>
        {movies.map(({ id, title, year, imageUrl }) => (
          <li key={id}>
            {imageUrl ? (
              <img src={thumbnail({ src: imageUrl, width: 320 })} alt="" />
            ) : (
              <div className="no-image" />
            )}
            <strong>{title}</strong> {year}
            <button
              type="button"
              onClick={() => attempt(() => api("DELETE", `/movies/${id}`).then(() => load()))}
            >
              Delete
            </button>
          </li>
        ))}
      </ul>
      {cursor && (
        <button type="button" onClick={() => attempt(() => load(`?cursor=${cursor}`))}>
          Show more
        </button>
      )}
    </>
  );
}

createRoot(document.getElementById("root")).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
