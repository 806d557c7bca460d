"""How large a network is: parameters of its image network and of what stands above it.

Source: MPT, Supp. A, Table 1. The 102 million printed there are METRO's total, of which 44.8
million (word and position embeddings of its BERT) are never used; none of those exist here.
"""

import numpy as np

from pipeline.errors import InputError
from pipeline.evaluation.predictions import Measured, Task

ENCODERS = ("pose_network", "backbone")  # the part of a network that sees the image


def measure(task: Task) -> Measured:
    """Count the parameters; records and body are not read.

    Raises:
        InputError: if the network has no part that sees the image, as the mean pose.
    """
    network, protocol = task.network, task.protocol
    parts = dict(network.named_children())
    encoder = next((parts[name] for name in ENCODERS if name in parts), None)
    if encoder is None:
        saw = type(network).__name__
        raise InputError(protocol.name, "network", saw, f"a part named {' or '.join(ENCODERS)}")
    seen = sum(p.numel() for p in encoder.parameters())
    total = sum(p.numel() for p in network.parameters())
    counts = dict(zip(protocol.metrics, (float(seen), float(total - seen)), strict=True))
    return Measured(np.empty(0, np.int64), {}, counts, dict.fromkeys(counts, "parameters"))
