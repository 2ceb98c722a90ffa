"""The command `zsar`: a module a wing, and what they share."""
