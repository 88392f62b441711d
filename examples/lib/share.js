// lib/share.js
const API = process.env.API_URL ?? "http://localhost:3001";

// On the page's server: the token is in its environment; query is "?limit=100&sort=title", for example
export async function sharedMovies(query = "") {
  const headers = { Authorization: `Bearer ${process.env.SHARE_TOKEN}` };
  const response = await fetch(`${API}/movies${query}`, { headers });
  const result = await response.json();
  if (!response.ok) throw new Error(result.error.message);
  return result.items;
}
