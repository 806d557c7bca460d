"""FreiHAND: `{training,evaluation}/rgb/%08d.jpg` and `{training,evaluation}_<kind>.json`.

The lists (K, mano, xyz, scale, verts) are in image order and hold every hand once. A training
hand is seen over four backgrounds, image i + versions * count, so that splits go by hand and not
by image. Lengths are metres of the camera frame, joints in the order of `freihand21`, all hands
right ones (never flip them). Poses are relative to MANO's mean pose, which is added here. The
box is the whole image, as the evaluation images come without one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.hands import HandModel, right_hand
from pipeline.convert.common import Sample, Selection, numbers, project
from pipeline.errors import InputError
from pipeline.files import read_json

KEYPOINT_SET = JOINT_SET = "freihand21"
ROOT = "wrist"
OF_HANDS = True
SIZE = (224, 224)
VERSIONS = ("gs", "hom", "sample", "auto")
SHAPES = {"K": (None, 3, 3), "mano": (None, 1, 61), "xyz": (None, 21, 3), "scale": (None,),
          "verts": (None, 778, 3)}  # fmt: skip
BONE = (9, 10)  # the middle finger's first bone, whose length is the scale
LOOKED_AT = 512  # hands whose parameters are compared with their joints
AGREED = 0.005  # metres, median


def select(raw: Path, split: str, settings: Mapping, hands: Mapping[str, HandModel]) -> Selection:
    """Return the images of a range of hands.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: folder (training or evaluation), versions (images of each hand), ids (first
            and last share of the hands, such as [0, 0.9]), vertices (keep the meshes), box_factor.
        hands: hand models by side.

    Raises:
        InputError: if the lists do not belong together, or the parameters do not give the joints.
    """
    folder, versions = settings["folder"], settings.get("versions") or 1
    labels, selection = _read(raw, folder, settings.get("vertices", False))
    count = len(labels["K"])
    low, high = (round(count * share) for share in settings.get("ids") or (0, 1))
    _check_images(raw / folder / "rgb", count * versions)
    _check_scale(labels, raw / f"{folder}_scale.json")
    hand = right_hand(hands)
    pose = labels["mano"][:, 0, 3:48] + hand.mean
    _check_parameters(labels, pose, hand, raw / f"{folder}_mano.json")
    selection.rule = f"{split}: hands {low} to {high - 1} of {count}, {versions} images of each"
    selection.count = (high - low) * versions
    selection.samples = _samples(raw, folder, labels, pose, range(low, high), versions, settings)
    return selection


def _read(raw: Path, folder: str, vertices: bool) -> tuple[dict[str, np.ndarray], Selection]:
    """Return the lists of one part as arrays, and a selection that names the files."""
    kinds = [kind for kind in SHAPES if kind != "verts" or vertices]
    selection = Selection("", sources=[raw / f"{folder}_{kind}.json" for kind in kinds])
    labels: dict[str, np.ndarray] = {}
    for kind, path in zip(kinds, selection.sources, strict=True):
        labels[kind] = numbers(read_json(path), SHAPES[kind], path, kind)
        if len(labels[kind]) != len(labels["K"]):
            saw = f"{len(labels[kind])} hands"
            raise InputError(path, kind, saw, f"{len(labels['K'])}, as in {folder}_K.json")
    return labels, selection


def _check_images(folder: Path, expected: int) -> None:
    """Check that image numbers mean hands: one more or less would shift every version."""
    count = sum(1 for path in folder.glob("*.jpg")) if folder.is_dir() else 0
    if count != expected:
        raise InputError(folder, "", f"{count} images", f"{expected}: hands times versions")


def _check_scale(labels: dict[str, np.ndarray], path: Path) -> None:
    """Check the joints' order and unit: the scale is the length of one bone."""
    first, second = (labels["xyz"][:, joint] for joint in BONE)
    length = np.linalg.norm(second - first, axis=-1)
    apart = float(np.median(np.abs(length / np.maximum(labels["scale"], 1e-9) - 1)))
    if apart > 0.01:
        saw = f"numbers {100 * apart:.3g} % off the distance of joints {BONE[0]} and {BONE[1]}"
        raise InputError(path, "scale", saw, "that distance, joints as FreiHAND orders them")


def _check_parameters(
    labels: dict[str, np.ndarray], pose: np.ndarray, hand: HandModel, path: Path
) -> None:
    """Check that the MANO labels, the mean pose added, give the annotated joints."""
    rows = np.unique(np.linspace(0, len(pose) - 1, min(len(pose), LOOKED_AT)).astype(int))
    mano = labels["mano"][rows, 0]
    _, joints = hand.pose(mano[:, :3], pose[rows], mano[:, 48:58])
    truth = labels["xyz"][rows]
    apart = (joints - joints[:, :1]) - (truth - truth[:, :1])
    median = float(np.median(np.linalg.norm(apart, axis=-1)))
    if median > AGREED:
        saw = f"hands {1000 * median:.3g} mm from the joints of {path.name.split('_')[0]}_xyz.json"
        expected = f"at most {1000 * AGREED:g} mm: version 2, made with the MANO of the asset"
        raise InputError(path, "mano", saw, expected)


def _samples(
    raw: Path,
    folder: str,
    labels: dict[str, np.ndarray],
    pose: np.ndarray,
    ids: range,
    versions: int,
    settings: Mapping,
) -> Iterator[Sample]:
    """Yield version after version, each in the order of the hands."""
    count = len(pose)
    for version in range(versions):
        for number in ids:
            xyz, K = labels["xyz"][number], labels["K"][number]
            image = number + version * count
            mano = labels["mano"][number, 0]
            extra = {"mano_global_orient": mano[:3], "hand_pose": pose[number],
                     "mano_betas": mano[48:58]}  # fmt: skip
            if "verts" in labels:
                extra["hand_vertices"] = labels["verts"][number] - xyz[0]
            name = f"{folder}/rgb/{image:08d}.jpg"
            yield Sample(
                image=raw / name, name=name, size=SIZE, center=np.array(SIZE) / 2,
                side=SIZE[0] * settings["box_factor"], K=K,
                keypoints_2d=np.column_stack([project(xyz, K), np.ones(21)]),
                joints_3d=np.column_stack([xyz - xyz[0], np.ones(21)]), root_3d=xyz[0],
                person=number, frame=image, sequence=VERSIONS[version],
                source=f"{folder}/{number}", extra=extra,
            )  # fmt: skip
