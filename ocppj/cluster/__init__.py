"""Several processes that are one central system."""
