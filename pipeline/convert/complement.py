"""Complement (CompHand of MobRecon): rendered left hands, mirrored here to right ones.

`{base_pose,trans_pose_batch1..3}/**/pic256/<look>/<name>.<number>.png`; the number, the second
field between the dots, names the mesh `model_mano/<number>.obj` and the mask
`mask256/<number>.png` beside `pic256`. Meshes are in the camera frame, metres (as their author
says; `units_per_metre` is for copies in another unit), joints are regressed from them. There are
no MANO parameters. Known from upstream: the global pose of base pose 2 does not change while the
background does (`skip_sequences` leaves a pose out).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pipeline.body.hands import TIPS, HandModel, right_hand
from pipeline.convert.common import Sample, Selection, project, square_box
from pipeline.errors import InputError
from pipeline.images import decode_jpeg

KEYPOINT_SET = JOINT_SET = "freihand21"
ROOT = "wrist"
OF_HANDS = True
SIZE = (256, 256)
FOCAL = 373.3511425  # pixels
K = np.array([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1]])
VERTICES = 778
LOOKED_AT = 16  # pictures whose mask is compared with the mesh
OVERLAP = 0.6  # least intersection over union of their boxes, median
_PICTURES, _MESHES, _MASKS = "pic256", "model_mano", "mask256"


def select(raw: Path, split: str, settings: Mapping, hands: Mapping[str, HandModel]) -> Selection:
    """Return every picture of the sets.

    Args:
        raw: root of the distribution.
        split: name of the split, for the rule.
        settings: folders (sets to take), units_per_metre (of the meshes), finger_tips (key of
            `hands.TIPS`), skip_sequences (poses to leave out, as paths below raw), box_factor.
        hands: hand models by side.

    Raises:
        InputError: if a set has no pictures.
    """
    if settings["finger_tips"] not in TIPS:
        raise InputError("params", "finger_tips", settings["finger_tips"], " or ".join(TIPS))
    selection = Selection(f"{split}: every picture of {', '.join(settings['folders'])}, mirrored")
    skipped = {Path(name) for name in settings.get("skip_sequences") or ()}
    images = []
    for folder in settings["folders"]:
        found = sorted((raw / folder).glob(f"**/{_PICTURES}/**/*.png"))
        if not found:
            raise InputError(raw / folder, "", "no picture", f"<pose>/{_PICTURES}/**/*.png")
        taken = [path for path in found if _pose(path).relative_to(raw) not in skipped]
        selection.skipped["skip_sequences"] += len(found) - len(taken)
        images += taken
    if images:
        _check_masks(images, settings)
    selection.count = len(images)
    selection.samples = _samples(raw, images, settings, right_hand(hands), selection.sources)
    return selection


def _pose(image: Path) -> Path:
    """Return the folder that holds the pictures, masks and meshes of a pose."""
    parts = image.parts
    return Path(*parts[: len(parts) - 1 - parts[::-1].index(_PICTURES)])


def _beside(image: Path, kind: str, suffix: str) -> Path:
    """Return the file of another kind that belongs to a picture.

    Raises:
        InputError: if the picture's name holds no number.
    """
    fields = image.name.split(".")
    if len(fields) < 3 or not fields[1].isdecimal():
        raise InputError(image, "name", image.name, "<name>.<number>.png")
    pictures = _pose(image) / _PICTURES
    look = image.parent if image.parent == pictures else image.parent.parent
    return _pose(image) / kind / look.relative_to(pictures) / f"{int(fields[1])}{suffix}"


def _mesh(image: Path, settings: Mapping) -> np.ndarray:
    """Return the mesh (778, 3) of a picture, mirrored, in metres of the camera frame."""
    path = _beside(image, _MESHES, ".obj")
    vertices = read_obj(path) / settings["units_per_metre"] * [-1, 1, 1]
    if not (vertices[:, 2] > 0).all():
        raise InputError(path, "v", "vertices behind the camera", "z pointing forwards")
    return vertices


def _check_masks(images: list[Path], settings: Mapping) -> None:
    """Check on a spread of pictures that the mirrored mesh covers the mirrored mask."""
    overlap = []
    for row in np.unique(np.linspace(0, len(images) - 1, LOOKED_AT).astype(int)):
        path = _beside(images[row], _MASKS, ".png")
        if not path.is_file():
            raise InputError(path, "", "no such file", f"the mask of {images[row].name}")
        mask = decode_jpeg(path.read_bytes(), path)[:, ::-1, 0] > 127
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            raise InputError(path, "", "an empty mask", "a hand")
        outline = np.clip(project(_mesh(images[row], settings), K), 0, SIZE)
        low = np.array([[columns[0], rows[0]], outline.min(0)])
        high = np.array([[columns[-1] + 1, rows[-1] + 1], outline.max(0)])
        shared = np.prod(np.maximum(high.min(0) - low.max(0), 0))
        overlap.append(shared / (np.prod(high - low, axis=1).sum() - shared))
    if np.median(overlap) < OVERLAP:
        saw = f"boxes of mesh and mask that share {100 * np.median(overlap):.0f} %"
        expected = f"{100 * OVERLAP:.0f} %: picture, mask and mesh of one left hand"
        raise InputError(_beside(images[0], _MASKS, ".png").parent, "", saw, expected)


def _samples(
    raw: Path, images: list[Path], settings: Mapping, hand: HandModel, sources: list[Path]
) -> Iterator[Sample]:
    """Yield the pictures as right hands, by set and name."""
    for number, image in enumerate(images):
        sources.append(_beside(image, _MESHES, ".obj"))
        vertices = _mesh(image, settings)
        joints = hand.joints(vertices, settings["finger_tips"])
        outline = project(vertices, K)
        center, side = square_box(outline.min(0), outline.max(0), settings["box_factor"])
        yield Sample(
            image=image, name=image.relative_to(raw).as_posix(), size=SIZE, mirror=True,
            center=center, side=side, K=K,
            keypoints_2d=np.column_stack([project(joints, K), np.ones(21)]),
            joints_3d=np.column_stack([joints - joints[0], np.ones(21)]), root_3d=joints[0],
            person=number, frame=int(image.name.split(".")[1]),
            sequence=_pose(image).relative_to(raw).as_posix(),
            source=sources[-1].relative_to(raw).as_posix(),
            extra={"hand_vertices": vertices - joints[0]},
        )  # fmt: skip


def read_obj(path: Path) -> np.ndarray:
    """Return the vertices (778, 3) of a mesh in Wavefront's format.

    Raises:
        InputError: if the file is missing, damaged or of another mesh.
    """
    try:
        lines = path.read_text().splitlines()
        rows = [line.split()[1:4] for line in lines if line.startswith("v ")]
        vertices = np.array(rows, np.float64).reshape(len(rows), 3)
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "the mesh of a picture") from None
    except ValueError as error:
        raise InputError(path, "v", f"damaged content ({error})", "x, y, z a line") from None
    if len(vertices) != VERTICES or not np.isfinite(vertices).all():
        saw = f"{len(vertices)} vertices, finite {bool(np.isfinite(vertices).all())}"
        raise InputError(path, "v", saw, f"{VERTICES} finite ones")
    return vertices
