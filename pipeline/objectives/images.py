"""What the objectives on images share: batches from a mixture, and the validation split."""

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.body.assets import BodyAssets
from pipeline.body.part_of import part_of
from pipeline.data.dataset import RecordsDataset
from pipeline.data.hand_labels import refuse_flip
from pipeline.data.mixture import Mixture, collate
from pipeline.errors import InputError
from pipeline.objectives.sources import VALIDATION, Sources

VALIDATION_BATCH = 64  # samples at once; changes no result
TERMS = ("preset", "iuv_size")  # entries of `loss` that are not weights


class ImageObjective:
    """A network on augmented crops of several datasets; subclasses give the losses."""

    def __init__(
        self,
        settings: dict,
        network: nn.Module,
        assets: BodyAssets,
        sources: Sources,
        item: dict | None = None,
    ) -> None:
        """Open the records.

        Args:
            settings: the resolved run.
            network: what is trained.
            assets: the body.
            sources: records of every dataset of the mixture; IUV where `item` asks for it.
            item: settings of `RecordsDataset` beyond size and augmentation.
        """
        self.settings, self.network, self.assets = settings, network, assets
        self.size = settings["network"]["image_size"]
        self.validation = sources.records.get(VALIDATION)
        self.score: str | None = None
        loss = settings.get("loss") or {}
        self.preset = loss.get("preset")
        self.weights = {k: v for k, v in loss.items() if k not in TERMS and v is not None}
        self.mixture: Mixture | None = None
        if settings["training"]["steps"]:
            self.mixture = open_mixture(settings, sources, item or {})

    def batch(self, step: int, rows: slice) -> dict[str, Tensor]:
        """Rows of the batch of a step: the keys of `RecordsDataset.item`, stacked."""
        return self.mixture.batch(step, self.settings["training"]["batch_size"], rows)

    def label_counts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """No term averages over labelled samples only."""
        return {}


class BodyObjective(ImageObjective):
    """An objective whose network predicts a body or a hand, judged by PA-MPJPE."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Open the records, see `ImageObjective`."""
        super().__init__(*args, **kwargs)
        self.score = "pa_mpjpe" if self.validation else None

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean errors in millimetres on the validation records, `pa_mpjpe` among them.

        Under `data.protocol`; without one the ground truth is posed with each subject's gendered
        model, and both meshes are centred on the pelvis. Hands are measured as by FreiHAND.
        """
        from pipeline.evaluation import freihand, measure
        from pipeline.evaluation.predictions import Task
        from pipeline.evaluation.protocols import get_protocol

        hand = part_of(self.settings["network"]) == "hand"
        module, usual = (freihand, "freihand") if hand else (measure, "pw3d_rooted")

        settings = {"image_size": self.size, "batch_size": VALIDATION_BATCH}
        device = next(network.parameters(), torch.empty(0)).device
        protocol = get_protocol(self.settings.get("data", {}).get("protocol", usual))
        task = Task(network, self.validation, protocol, self.assets, settings, device)
        measured = module.measure(task)
        return {name: float(values.mean()) for name, values in measured.per_sample.items()}


def open_mixture(settings: dict, sources: Sources, item: dict) -> Mixture:
    """Return the mixture of a run's datasets.

    Raises:
        InputError: if a dataset of the mixture has no records, no IUV where it is needed, or is
            of hands and the network is not, or the other way round.
    """
    part = part_of(settings["network"])
    if part == "hand":
        refuse_flip(settings["augmentation"])
    weights = settings["data"]["mixture"]
    options = {"image_size": settings["network"]["image_size"],
               "augmentation": settings["augmentation"], **item}  # fmt: skip
    datasets = {}
    for name in weights:
        for flag, paths in (("--records", sources.records), ("--iuv", sources.iuv)):
            if name not in paths and (flag == "--records" or item.get("iuv_size")):
                raise InputError(flag, name, "no path", f"the file of {name}, part of the mixture")
        datasets[name] = RecordsDataset(
            sources.records[name], sources.iuv.get(name), options, train=True
        )
        if bool(datasets[name].hands) != (part == "hand"):
            found = "hands" if datasets[name].hands else "bodies"
            raise InputError(sources.records[name], "", f"records of {found}",
                             f"records for a network of the {part}")  # fmt: skip
    return Mixture(datasets, weights, settings["seed"], settings["data"].get("fraction", 1.0))


def plain_batches(dataset: RecordsDataset, size: int):
    """Yield all records, unaugmented and in order, in batches of at most `size`."""
    for start in range(0, len(dataset), size):
        rows = np.arange(start, min(start + size, len(dataset)))
        yield collate([dataset.item(int(row), None) for row in rows])
