"""The HTTP port: connection, paths, the ASGI application."""
