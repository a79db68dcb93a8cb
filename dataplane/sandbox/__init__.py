"""Where a model's code runs: a process that sees, reaches and may do only what its work needs (ADR 0010).

Standard library only, and nothing of mlorch but the wire: it runs in workers of any environment.
"""
