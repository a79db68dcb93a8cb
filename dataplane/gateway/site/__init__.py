"""What the gateway and the site say to each other: route tables, poll, windows; and the request log."""
