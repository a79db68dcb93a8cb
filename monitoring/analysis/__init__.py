"""Statistics of rollouts. Pure: no Django, no I/O; the inputs are counts."""
