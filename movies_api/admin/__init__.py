"""Statistics for admins."""
