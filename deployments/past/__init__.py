"""What was so at an instant, out of rows that are never changed: no fact of the present is shown as one of the past."""
