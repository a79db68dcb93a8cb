"""REST resources of the site itself: tokens and the audit record; and idempotent writes."""
