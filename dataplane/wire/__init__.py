"""Every shape that crosses a process border, with its limits (docs/wire.md).

Both sides import it, and nobody else validates.
"""
