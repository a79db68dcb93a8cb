"""The part of monitoring that acts by itself, as the history and the audit record name it."""

from mlorch_site.accounts.actor import Actor

ALERTS = Actor.controller("alerts")
