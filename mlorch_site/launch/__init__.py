"""What starts the product on one machine, sets it up, and shows it: supervisor, bootstrap, demo.

Behind `scripts/up`.
"""
