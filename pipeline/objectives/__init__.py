"""What is trained: network, batches and losses of each kind of run, for the one loop."""
