"""The route table of an environment (docs/wire.md section 2)."""

FORMAT = 1
