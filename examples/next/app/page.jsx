"use client";

import { useEffect, useState } from "react";
import { logOut, refresh } from "../lib/api.js";
import { Login } from "./login.jsx";
import { Movies } from "./movies.jsx";

// The guard runs in the browser: server components, proxy.js and route handlers cannot see the session. The access
// token is in a variable of this tab, and the browser sends the refresh cookie only to /auth.
export default function Page() {
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
            <a href="/public">Public page</a>
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
