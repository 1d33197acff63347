"""Figures that a reader handles: numbers for the page, and plain scripts beside it."""
