"""FastAPI adapter of the workspace: validates, maps and routes; it keeps nothing."""
