"""Transfer: whole collections out of the service and into it, as files."""
