"""A cluster on Redis."""
