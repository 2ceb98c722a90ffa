"""Alignment heads: arrays in, arrays out. None yet; the cache comes first."""
