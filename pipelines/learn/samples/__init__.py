"""What is trained on and judged: features, texts, objects, sequences."""
