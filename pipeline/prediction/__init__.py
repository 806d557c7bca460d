"""Trained networks on pictures of one's own."""
