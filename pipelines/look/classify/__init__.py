"""What is in a clip: names of any kind, answered offline."""
