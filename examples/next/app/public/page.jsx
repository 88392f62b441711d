import { connection } from "next/server";
import { Suspense } from "react";
import { MovieList } from "../../components/movie-list.jsx";
import { sharedMovies } from "../../lib/share.js";
import { Poster } from "../poster.jsx";

// A server component: it knows SHARE_TOKEN, and no visitor's session
async function Movies() {
  await connection(); // not when the app is built
  return <MovieList movies={await sharedMovies()} Poster={Poster} />;
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
