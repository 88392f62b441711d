"""Import and export: whole collections as files."""
