"""The bench: what a request costs, measured on a real gunicorn and a real PostgreSQL."""
