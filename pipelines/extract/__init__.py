"""What is missing of the features, computed and committed."""
