"""Models that try to get what is not theirs, as real MLflow pyfuncs in real workers (docs/threat-model.md)."""
