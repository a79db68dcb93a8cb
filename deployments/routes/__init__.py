"""Route tables: built, published as revisions, acknowledged by gateways."""
