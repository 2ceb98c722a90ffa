"""What a run scores: evaluation, results, published tables."""
