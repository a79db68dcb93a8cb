"""Objectives and alerts, pure: what counts say of a budget, of a rule, and what follows for the state of an alert."""
