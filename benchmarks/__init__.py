"""One command a bar of performance; `make bench` runs them all."""
