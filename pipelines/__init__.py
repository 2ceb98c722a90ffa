"""The stages, one a file: the only code that knows extractors, heads and stores at once."""
