"""Items through loaded extractors, a file a kind of item."""
