import { useEffect, useState } from "react";
import { logOut, refresh } from "../lib/api.js";
import { Login } from "./login.jsx";
import { Movies } from "./movies.jsx";

// The guard: without a session there is only the login form
export function App({ Poster, children }) {
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
            {children}
            <span>{user.name}</span>
            <button type="button" onClick={() => attempt(logOut).then(() => setUser(null))}>
              Log out
            </button>
          </>
        )}
      </header>
      {error && <p role="alert">{error.message}</p>}
      {user ? (
        <Movies attempt={attempt} error={error} Poster={Poster} />
      ) : (
        <Login attempt={attempt} error={error} onUser={setUser} />
      )}
    </main>
  );
}
