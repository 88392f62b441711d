"""Movies: each user's own collection."""
