"""Public checkpoints of other people's code, turned into weights of this package's networks."""
