"""The cache as pages that answer: `zsar serve`."""
