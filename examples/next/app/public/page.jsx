import { connection } from "next/server";
import { Suspense } from "react";
import { sharedMovies } from "../../lib/share.js";
import { MovieList } from "../movie-list.jsx";

// A server component: it knows SHARE_TOKEN, and no visitor's session
async function Movies() {
  await connection(); // not when the app is built
  return <MovieList movies={await sharedMovies()} />;
}

export default function PublicPage() {
  return (
    <main>
      <header>
        <h1>Our movies</h1>
      </header>
      <Suspense fallback={<p>Loading…</p>}>
        <Movies />
      </Suspense>
    </main>
  );
}
