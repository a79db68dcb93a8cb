"""The gateway: answers inference requests by the route table. No Django, no model code (docs/wire.md)."""
