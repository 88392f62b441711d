"""Who is calling: accounts, sessions, and the guard before every view."""
