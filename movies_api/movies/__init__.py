"""Movies: everybody's own collection."""
