"""Which classes are seen and which are not."""
