"""The agent: supervises the workers of one machine (docs/wire.md section 5). No Django, no model code."""
