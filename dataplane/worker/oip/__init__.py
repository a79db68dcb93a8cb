"""The Open Inference Protocol v2 as a worker speaks it."""
