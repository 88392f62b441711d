"""Authentication: accounts, sessions, and the guard before every view."""
