"""What gateways and agents call and report (docs/wire.md sections 3 and 5)."""
