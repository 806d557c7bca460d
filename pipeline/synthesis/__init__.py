"""From motion capture to training pairs: sampling, virtual cameras, heatmaps, corruption."""
