"use client";

import { App } from "../components/app.jsx";
import { Poster } from "./poster.jsx";

// The guard runs in the browser: server components, proxy.js and route handlers cannot see the session. The access
// token is in a variable of this tab, and the browser sends the refresh cookie only to /auth.
export default function Page() {
  return (
    <App Poster={Poster}>
      <a href="/public">Public page</a>
    </App>
  );
}
