"""The drawing kit: figures and pages."""
