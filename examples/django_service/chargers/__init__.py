"""The one application of the example: its pages, its models, and its central system."""
