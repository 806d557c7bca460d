"""How tables name metrics and benchmarks, and in which unit and precision they print a number."""

import re

from pipeline.evaluation.image_protocols import CAPACITIES
from pipeline.evaluation.pck_protocols import MUPOTS_METRICS
from pipeline.evaluation.protocols import ITERATION_METRICS, PROTOCOLS, get_protocol


def _mupots_title(metric: str) -> str:
    """Return "3DPCK matched, own bones, pooled" for such a metric of MuPoTS-3D."""
    measure, *counted = metric.replace("own_bones", "own bones").split("_")
    return ", ".join([f"3D{measure.upper()} {counted[0]}", *counted[1:]])


def _iteration_title(metric: str) -> str:
    """Return "PA-MPJPE M2" for `pa_mpjpe_m2`."""
    return metric.replace("pa_", "pa-").replace("_", " ").upper()


TITLES = {
    "pve": "PVE", "mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "pck": "PCK", "auc": "AUC",
    "pa_pck": "PA-PCK", "pa_auc": "PA-AUC", "pa_mpvpe": "PA-MPVPE", "f_5": "F@5 mm",
    "f_15": "F@15 mm", "pve_t_sc": "PVE-T-SC", "miou_pooled": "mIoU pooled",
    "miou_mean": "mIoU mean", "fb_seg_acc": "FB seg. accuracy", "fb_seg_f1": "FB seg. F1",
    "part_seg_acc": "part seg. accuracy", "part_seg_f1": "part seg. F1", "ap": "AP",
    "ap50": "AP50", "ap75": "AP75", "ap_m": "AP M", "ap_l": "AP L",
    "encoder_params": "parameters of the image network",
    "regressor_params": "parameters of the rest",
    **{name: _mupots_title(name) for name in MUPOTS_METRICS},
    **{name: _iteration_title(name) for name in ITERATION_METRICS},
}  # fmt: skip
BENCHMARKS = {
    "pw3d": "3DPW", "h36m": "Human3.6M", "mpi_inf_3dhp": "MPI-INF-3DHP", "mupots": "MuPoTS-3D",
    "oh3d": "3DOH50K", "ssp3d": "SSP-3D", "freihand": "FreiHAND", "lsp": "LSP", "coco": "COCO",
    "network": "(trained)",
}  # fmt: skip
SHARES = ("f_5", "f_15", "fb_seg_f1", "part_seg_f1")
_LENGTHS = re.compile(r"(pa_)?(mpjpe|mpvpe|pve)(_m\d+)?|pve_t_sc")
UNITS = (
    {  # of metrics that are not millimetres
        metric: "pct"
        for protocol in PROTOCOLS.values()
        for metric in protocol.metrics
        if not _LENGTHS.fullmatch(metric)
    }
    | dict.fromkeys(SHARES, "share")
    | dict.fromkeys(CAPACITIES, "count")
)
SIGNS = {"mm": "", "pct": " (%)", "share": "", "count": ""}
# Behind the point, as the papers print them; 1 of other metrics.
DIGITS = {"f_5": 3, "f_15": 3, "fb_seg_f1": 2, "part_seg_f1": 2, "fb_seg_acc": 2,
          "part_seg_acc": 2, **dict.fromkeys(CAPACITIES, 0)}  # fmt: skip


def unit(metric: str) -> str:
    """Return mm, pct, share or count."""
    return UNITS.get(metric, "mm")


def text(value: float, metric: str) -> str:
    """Return a number with as many digits as the papers print of the metric."""
    return f"{value:.{DIGITS.get(metric, 1)}f}"


def places(columns: list[tuple[str, str]]) -> list[str]:
    """Return the benchmark of each column, or its protocol where one benchmark has several.

    Args:
        columns: (protocol, metric) of each.
    """
    found = []
    for protocol, metric in columns:
        dataset = get_protocol(protocol).dataset
        rivals = {p for p, m in columns if m == metric and get_protocol(p).dataset == dataset}
        found.append(dataset if len(rivals) == 1 else protocol)
    return found


def titles(columns: list[tuple[str, str]]) -> list[str]:
    """Return the heading of each (protocol, metric), for people."""
    return [
        f"{TITLES.get(metric, metric)} {BENCHMARKS.get(place, place)}{SIGNS[unit(metric)]}"
        for (_, metric), place in zip(columns, places(columns), strict=True)
    ]
