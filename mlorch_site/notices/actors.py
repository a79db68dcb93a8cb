"""The part of mlorch that sends notices, as the audit record names it."""

from mlorch_site.accounts.actor import Actor

NOTICES = Actor.controller("notices")
