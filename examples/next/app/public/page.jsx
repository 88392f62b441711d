import { sharedMovies } from "../../lib/share.js";
import { MovieList } from "../movie-list.jsx";

export const dynamic = "force-dynamic"; // not when the app is built

// A server component: it knows SHARE_TOKEN, and no visitor's session
export default async function PublicPage() {
  return (
    <main>
      <header>
        <h1>Our movies</h1>
      </header>
      <MovieList movies={await sharedMovies()} />
    </main>
  );
}
