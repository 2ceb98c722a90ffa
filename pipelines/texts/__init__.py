"""What is said of classes: read, linked, kept, ranked, encoded."""
