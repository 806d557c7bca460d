"""What every protocol measures: one network on the records of one benchmark."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.data.dataset import RecordsDataset
from pipeline.progress import progress
from pipeline.records import Records


@dataclass
class Measured:
    """What a protocol's `measure` returns.

    Attributes:
        rows: (N,) record numbers that were evaluated.
        per_sample: metric -> (N,) values in the reported unit, whose mean is the metric.
        pooled: metric -> value of metrics that are no mean over samples.
        units: metric -> unit; "mm" where it says nothing.
    """

    rows: np.ndarray
    per_sample: dict[str, np.ndarray] = field(default_factory=dict)
    pooled: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What a protocol's `measure` gets.

    Attributes:
        network: has `predict(image)`, which returns a dictionary of tensors.
        records_path: the benchmark's records.
        protocol: what is measured.
        assets: body models and regressors.
        settings: image_size, batch_size; raw, the benchmark's own files, where it needs them.
        device: where the network is.
    """

    network: nn.Module
    records_path: Path | str
    protocol: Any
    assets: BodyAssets
    settings: Mapping
    device: torch.device | str = "cpu"

    @cached_property
    def dataset(self) -> RecordsDataset:
        """The records as unaugmented samples of the network's size."""
        return RecordsDataset(self.records_path, None, {"image_size": self.size}, train=False)

    @property
    def records(self) -> Records:
        """The records themselves."""
        return self.dataset.records

    @property
    def size(self) -> int:
        """Side of the network's images, pixels."""
        return self.settings["image_size"]

    @property
    def rows(self) -> np.ndarray:
        """(N,) numbers of all records."""
        return np.arange(len(self.dataset))

    @property
    def truth(self) -> Path:
        """Folder of the benchmark's own files that the protocol compares with."""
        return Path(self.settings["raw"]) / self.protocol.truth

    def batches(
        self, rows: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, list[dict], Tensor]]:
        """Yield record numbers, their samples and their images, where the network is.

        The network is in evaluation mode meanwhile, and left as it was.

        Args:
            rows: (N,) record numbers, in this order; all by default.
        """
        rows = self.rows if rows is None else rows
        was_training = self.network.training
        self.network.eval()
        try:
            pieces = list(pieces_of(rows, self.settings["batch_size"]))
            for piece in progress(pieces, len(pieces), f"evaluate {self.protocol.name}"):
                items = [self.dataset.item(int(row), None) for row in piece]
                image = torch.as_tensor(np.stack([item["image"] for item in items]))
                yield piece, items, image.to(self.device)
        finally:
            self.network.train(was_training)

    def predictions(self) -> Iterator[tuple[np.ndarray, list[dict], dict[str, Tensor]]]:
        """Yield record numbers, their samples and what the network predicts, in memory."""
        for piece, items, image in self.batches():
            with torch.no_grad():
                predicted = self.network.predict(image)
            yield piece, items, {key: value.detach().cpu() for key, value in predicted.items()}


def pieces_of(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive pieces of `rows` of at most `size`."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
