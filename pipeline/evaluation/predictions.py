"""What a network predicts for the records of a benchmark, batch after batch."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.dataset import RecordsDataset
from pipeline.evaluation.measure import batches
from pipeline.progress import progress


@torch.no_grad()
def predictions(
    network: nn.Module,
    dataset: RecordsDataset,
    rows: np.ndarray,
    settings: Mapping,
    device: torch.device | str,
    label: str,
) -> Iterator[tuple[np.ndarray, list[dict], dict[str, Tensor]]]:
    """Yield record numbers, their samples and `network.predict` of their images.

    The network is in evaluation mode meanwhile, and left as it was.

    Args:
        network: has `predict(image)`, which returns a dictionary of tensors.
        dataset: the benchmark.
        rows: (N,) record numbers, in this order.
        settings: batch_size.
        device: where the network is.
        label: what the progress line says.
    """
    was_training = network.training
    network.eval()
    try:
        pieces = list(batches(rows, settings["batch_size"]))
        for piece in progress(pieces, len(pieces), label):
            items = [dataset.item(int(row), None) for row in piece]
            image = torch.as_tensor(np.stack([item["image"] for item in items]))
            predicted = network.predict(image.to(device))
            yield piece, items, {key: value.detach().cpu() for key, value in predicted.items()}
    finally:
        network.train(was_training)
