"""What comes of a run, as JSON, as JUnit XML, and as a page for a browser."""
