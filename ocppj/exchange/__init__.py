"""What a client and a server do alike with one peer."""
