"""Protocols that compare predictions with labels of the image: masks and keypoints.

Their ground truth is no part of the records: it is read from the benchmark's own files, whose
folder `evaluate` gets as `--raw`.

Sources: PyMAF, Sec. 4.2 (Tables 2 and 3) and the SPIN-family evaluation.
"""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class ImageProtocol:
    """What exactly is measured in the image.

    Attributes:
        name: the key under which `params.yaml` and the tables ask for it.
        version: raised whenever a number measured under it could change.
        dataset: the benchmark whose records and raw files it reads.
        frames: the rule by which the records were selected, in words.
        prediction: what is compared, in words.
        truth: the folder inside the raw files that holds the ground truth.
        metrics: what is reported, in this order.
        module: where its `measure` is.
        needs_raw: whether `measure` finds the raw folder in its settings.
    """

    name: str
    version: int
    dataset: str
    frames: str
    prediction: str
    truth: str
    metrics: tuple[str, ...]
    module: str
    needs_raw: bool = True

    def describe(self) -> dict:
        """The object as plain values, for metrics files."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


# Counted in the network that was evaluated; what no evaluation ever uses is not built here.
CAPACITIES = ("encoder_params", "regressor_params")
_LSP = {
    "version": 1,
    "dataset": "lsp",
    "frames": "second half of lsp_dataset, 1,000 images",
    "truth": "upi-s1h/data/lsp",
    "module": "pipeline.evaluation.lsp",
}
_DRAWN = "predicted mesh, drawn at 224 px with focal length 5000, pasted by the nearest pixel"

IMAGE_PROTOCOLS: dict[str, ImageProtocol] = {
    p.name: p
    for p in (
        ImageProtocol(
            "capacity",
            version=1,
            dataset="network",
            frames="none",
            prediction="number of parameters of the network on the image, and of all the rest",
            truth="none",
            metrics=CAPACITIES,
            module="pipeline.evaluation.capacity",
            needs_raw=False,
        ),
        ImageProtocol(
            "lsp_silhouette", prediction=_DRAWN, metrics=("fb_seg_acc", "fb_seg_f1"), **_LSP
        ),
        ImageProtocol(
            "lsp_parts", prediction=f"six parts of the {_DRAWN}",
            metrics=("part_seg_acc", "part_seg_f1"), **_LSP,
        ),
        ImageProtocol(
            "coco_keypoints", version=1, dataset="coco",
            frames="val2014 persons with keypoints, in their annotated boxes",
            prediction="SPIN joints of the predicted mesh, all scores 1, in the records' order",
            truth="annotations", metrics=("ap", "ap50", "ap75", "ap_m", "ap_l"),
            module="pipeline.evaluation.coco",
        ),
    )
}  # fmt: skip
