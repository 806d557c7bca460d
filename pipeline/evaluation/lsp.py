"""Silhouettes and six body parts of the LSP test images, as the SPIN family measures them.

The mesh is drawn flat at 224 px in the crop's camera and the labels are pasted into the original
image by the nearest pixel, where they are compared with the masks of UPi-S1h: person or not, or
one of six parts. `segmentation.Counts` defines accuracy and F1.

The part masks number the parts as SPIN's renderer does, since its evaluation compares the two
directly (1 left arm, 2 right arm, 3 head, 4 left leg, 5 right leg, 6 torso); the tools of their
authors number six parts otherwise (head first). Which of the two a folder of masks holds is read
off the masks themselves, at the labelled joints.

Departure: SPIN resizes the crop to a box of whole pixels before pasting; here every pixel of
the image looks up the crop's pixel under its centre.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from pipeline.cameras import cam_to_translation
from pipeline.data.crops import crop_affine, invert, warp_image
from pipeline.errors import InputError
from pipeline.evaluation.image_protocols import ImageProtocol
from pipeline.evaluation.predictions import Measured, Task
from pipeline.evaluation.segmentation import IGNORE, SPIN_TO_UP, Counts
from pipeline.joints import convert, index
from pipeline.records import Records
from pipeline.rendering.rasterizer import Rasterizer

SIZE = 224  # pixels of the drawn crop
FOCAL = 5000.0  # crop pixels, as the networks project
PARTS = 7
MASKS = {"fb_seg_acc": "{}_segmentation.png", "part_seg_acc": "{}_part_segmentation.png"}
# Where each part is looked for: at these joints of lsp14, or halfway between two of them.
PLACES = {
    "left_arm": (("l_elbow",), ("l_elbow", "l_wrist")),
    "right_arm": (("r_elbow",), ("r_elbow", "r_wrist")),
    "left_leg": (("l_knee",), ("l_knee", "l_ankle")),
    "right_leg": (("r_knee",), ("r_knee", "r_ankle")),
    "head": (("neck", "head_top"),),
    "torso": (("r_shoulder", "l_hip"), ("l_shoulder", "r_hip")),
}
LOOKED_AT = 100  # images whose masks tell the numbering
AGREED = 0.5  # least share of the places that show their part
_SAME = np.arange(PARTS, dtype=np.uint8)


def measure(task: Task) -> Measured:
    """Accuracy (percent) and F1 of the drawn meshes, pooled over the pixels of all images.

    Raises:
        InputError: if a mask is missing, damaged, of another size, or numbers unknown parts.
    """
    records, assets = task.records, task.assets
    masks = Masks(records, task.truth, task.protocol)
    parts = assets.parts6 if masks.parts else np.ones(len(assets.faces), np.uint8)
    labels = masks.numbering[np.append(parts, 0)]  # of faces; face -1 is the background
    faces = np.ascontiguousarray(assets.faces, np.int32)
    canvas, counts = Rasterizer(SIZE, SIZE), Counts(PARTS if masks.parts else 2)
    for piece, _, predicted in task.predictions():
        for k, row in enumerate(piece):
            vertices, cam = (predicted[key][k].numpy() for key in ("vertices", "cam"))
            seen = draw(vertices, cam, task.size, faces, canvas)
            counts.add(paste(labels[seen], records, row), masks.read(row))
    accuracy, f1 = task.protocol.metrics
    units = {accuracy: "%", f1: ""}
    pooled = {accuracy: 100 * counts.accuracy(), f1: counts.f1()}
    return Measured(task.rows, pooled=pooled, units=units)


def draw(
    vertices: np.ndarray, cam: np.ndarray, image_size: int, faces: np.ndarray, canvas: Rasterizer
) -> np.ndarray:
    """Return the face (SIZE, SIZE) that each pixel of the crop shows, -1 for none.

    Args:
        vertices: (V, 3) metres, as `predict` gives them.
        cam: (3,) as (s, tx, ty).
        image_size: of the network; its camera has a focal length of 5000 of its pixels.
        faces: (F, 3) int32.
        canvas: a rasterizer of SIZE.
    """
    cam = torch.as_tensor(cam)[None].double()
    placed = vertices + cam_to_translation(cam, FOCAL, image_size)[0].numpy()
    focal = FOCAL * SIZE / image_size
    camera = (focal, focal, SIZE / 2, SIZE / 2)
    return canvas.draw(np.ascontiguousarray(placed, np.float32), faces, camera).face_id


def paste(label: np.ndarray, records: Records, row: int) -> np.ndarray:
    """Return the labels (SIZE, SIZE) of a crop in the original image, 0 beyond the crop."""
    affine = crop_affine(records.center[row], records.side[row], SIZE)
    width, height = map(int, records.original_size[row])
    return warp_image(label, invert(affine), (width, height), nearest=True)


class Masks:
    """The ground truth of UPi-S1h for the images of a records file.

    Attributes:
        parts: whether the masks are of parts or of the whole person.
        numbering: (7,) number in the masks of each part as `assets.parts6` numbers them.
    """

    def __init__(self, records: Records, folder: Path, protocol: ImageProtocol) -> None:
        self._records, self._folder = records, folder
        self._name = MASKS[protocol.metrics[0]]
        self.parts = protocol.name == "lsp_parts"
        self.numbering = self._find_numbering() if self.parts else _SAME

    def read(self, row: int) -> np.ndarray:
        """Return the labels (H, W) uint8 of an image: parts, or 1 for the person.

        Raises:
            InputError: if the mask is missing, damaged or of another size than the image, or
                holds other numbers than 0 to 6 and 255.
        """
        path = self._folder / self._name.format(Path(self._records.name[row]).stem)
        mask = read_mask(path)
        width, height = self._records.original_size[row]
        if mask.shape != (height, width):
            saw = f"{mask.shape[1]} x {mask.shape[0]} pixels"
            raise InputError(path, "", saw, f"{width} x {height}, the image's size")
        if not self.parts:
            return (mask > 0).astype(np.uint8)
        if ((mask >= PARTS) & (mask != IGNORE)).any():
            raise InputError(path, "", np.unique(mask).tolist(), f"0 to 6, or {IGNORE}")
        return mask

    def _find_numbering(self) -> np.ndarray:
        """Return the table from the numbers of `parts6` to those of the masks."""
        tables = {
            "SPIN": _SAME,
            "UP": np.array([up for _, up in sorted(SPIN_TO_UP.values())], np.uint8),
        }
        count = len(self._records)
        rows = np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(int))
        seen = [pair for row in rows for pair in self._looked_up(row)]
        shares = {
            name: float(np.mean([table[ours] == theirs for ours, theirs in seen] or [0]))
            for name, table in tables.items()
        }
        best = max(shares, key=shares.get)
        if shares[best] < AGREED:
            found = ", ".join(f"{100 * share:.0f} % as {name}" for name, share in shares.items())
            saw = f"parts where their joints are: {found}"
            raise InputError(self._folder, "", saw, f"{100 * AGREED:.0f} % in one numbering")
        return tables[best]

    def _looked_up(self, row: int) -> list[tuple[int, int]]:
        """Return pairs of a part's number in `parts6` and the number in the mask at its place."""
        mask = self.read(row)
        points = convert(self._records.keypoints_2d[row], self._records.keypoint_set, "lsp14")
        pairs = []
        for part, places in PLACES.items():
            for names in places:
                chosen = points[[index("lsp14", name) for name in names]]
                x, y = np.floor(chosen[:, :2].mean(0)).astype(int)
                inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
                if inside and (chosen[:, 2] > 0).all() and mask[y, x] not in (0, IGNORE):
                    pairs.append((SPIN_TO_UP[part][0], int(mask[y, x])))
        return pairs


def read_mask(path: Path, source: str = "UPi-S1h") -> np.ndarray:
    """Return the numbers (H, W) uint8 of a label image.

    Args:
        path: a PNG file.
        source: who hands it out, for errors.

    Raises:
        InputError: if the file is missing or damaged, or holds colours.
    """
    if not path.is_file():
        raise InputError(path, "", "no such file", f"the labels of every image ({source})")
    data = path.read_bytes()
    mask = None
    if b"IEND" in data[-16:]:  # a decoder alone would fill what is missing
        mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.dtype != np.uint8:
        raise InputError(path, "", f"{len(data)} bytes, truncated or no image", "a label image")
    if mask.ndim == 3:
        if (mask[..., :3] != mask[..., :1]).any():
            raise InputError(path, "", "colours", "numbers of parts")
        mask = mask[..., 0]
    return mask
