"""The layouts data sets are published in."""
