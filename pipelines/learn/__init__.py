"""What is learned, on seen classes: heads, backbones, protocols."""
