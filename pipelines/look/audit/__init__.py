"""Audit: what is doubtful in a data set."""
