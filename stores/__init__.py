"""Everything that is a file: features, manifests, failures, remembered digests, and their keys."""
