"""ImageNet: whole images by class; the devkit's order, odd files, damage."""

import io
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from numpy.lib.recfunctions import repack_fields
from PIL import Image

from pipeline.convert.imagenet import DEVKIT, read_size
from pipeline.data.crops import warp_image
from pipeline.data.dataset import RecordsDataset
from pipeline.demo.imagenet import WNIDS, class_id
from pipeline.demo.matlab import write_mat5
from pipeline.images import decode_jpeg
from pipeline.records import Records
from pipeline.seeding import rng
from tests.convert.demo_miniature import CROP, Miniature, edit_text, make, remove, truncate

DEMO = {"image_size": 120, "train_images": 4, "val_images": 3}
SETTINGS = {
    "converter": "imagenet",
    "box_factor": 1.0,
    "crop": CROP | {"margin": 1.0},
    "splits": {"train": {"folder": "train"}, "val": {"folder": "val"}},
}
TRUTH = "ILSVRC2012_validation_ground_truth.txt"


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "imagenet", DEMO, SETTINGS)


@pytest.fixture(scope="module")
def train(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("train", tmp_path_factory.mktemp("imagenet") / "train.h5")


def patches() -> np.ndarray:
    """Return a picture of plain patches, which compression leaves as they are."""
    colours = rng(0, "patches").integers(0, 255, (4, 6, 3))
    return np.kron(colours, np.ones((16, 16, 1))).astype(np.uint8)


def test_whole_images_without_labels(mini: Miniature, train: Records) -> None:
    assert train.keypoints_2d is None and train.joints_3d is None and train.smpl_valid is None
    for row in range(len(train)):
        width, height = train.original_size[row]
        assert train.side[row] == max(width, height)
        image = decode_jpeg((mini.raw / train.name[row]).read_bytes(), "")
        shown = warp_image(image, train.affine[row], tuple(train.image_size[row]))
        apart = np.abs(shown.astype(int) - train.image(row))
        assert image.shape[:2] == (height, width) and apart.mean() < 3
        corner = train.affine[row] @ [0, 0, 1]
        assert (corner >= -1e-6).all() and corner.min() < 1  # nothing is cut off


def test_training_reads_them(train: Records) -> None:
    item = RecordsDataset(train.path, None, {"image_size": 32}, train=False).item(1)
    assert item["image"].shape == (3, 32, 32) and not item["has_smpl"]
    assert not item["keypoints_2d"].any()


def test_classes_are_sorted_wnids(mini: Miniature, train: Records) -> None:
    order = sorted(WNIDS)
    assert train.sequence.tolist() == [Path(name).parts[1] for name in train.name]
    assert train.person.tolist() == [order.index(wnid) for wnid in train.sequence]


def test_the_devkits_ids_are_not_the_classes(mini: Miniature, tmp_path: Path) -> None:
    """Line k of the ground truth is the id of image k, which meta.mat turns into a wnid."""
    val = mini.convert("val", tmp_path / "val.h5")
    wnids = [WNIDS[class_id("val", number) - 1] for number in range(3)]
    assert val.sequence.tolist() == wnids
    assert val.person.tolist() == [sorted(WNIDS).index(wnid) for wnid in wnids]
    ids = (mini.raw / DEVKIT / TRUTH).read_text().split()
    assert val.person.tolist() != [int(text) - 1 for text in ids]


def test_validation_sorted_into_folders(mini: Miniature, tmp_path: Path) -> None:
    """Many have moved the images into one folder per class: then no devkit is needed."""

    def sort(root: Path) -> None:
        for number, path in enumerate(sorted((root / "val").glob("*.JPEG"))):
            folder = root / "val" / WNIDS[class_id("val", number) - 1]
            folder.mkdir(exist_ok=True)
            path.rename(folder / path.name)
        shutil.rmtree(root / DEVKIT.parts[0])

    raw = mini.copy(tmp_path / "raw", sort)
    flat = mini.convert("val", tmp_path / "a.h5")
    sorted_ = mini.convert("val", tmp_path / "b.h5", raw)
    rows = [sorted_.source.tolist().index(source) for source in flat.source]
    assert sorted_.person[rows].tolist() == flat.person.tolist()


def test_a_png_by_the_name_of_a_jpeg(mini: Miniature, train: Records) -> None:
    """As n02105855_2933.JPEG is."""
    odd = [k for k, name in enumerate(train.name)
           if (mini.raw / name).read_bytes().startswith(b"\x89PNG")]  # fmt: skip
    assert len(odd) == 1 and train.image(odd[0]).std() > 5


def test_cmyk_images(mini: Miniature, tmp_path: Path) -> None:
    """Their colours are those that other decoders show, not inverted."""
    picture = patches()

    def write(root: Path) -> None:
        path = next(root.rglob("n09835506_1.JPEG"))
        Image.fromarray(picture).convert("CMYK").save(path, "JPEG", quality=95)

    raw = mini.copy(tmp_path / "raw", write)
    records = mini.convert("train", tmp_path / "out.h5", raw)
    row = records.source.tolist().index("n09835506_1")
    assert records.original_size[row].tolist() == [96, 64]
    shown = records.image(row)[16:80].astype(int)
    assert np.abs(shown - picture).mean() < 6


def test_grey_and_turned_images(mini: Miniature, tmp_path: Path) -> None:
    """Grey images become RGB; the orientation that a camera noted is ignored."""

    def write(root: Path) -> None:
        first, second = sorted(root.glob("train/n10565667/*.JPEG"))
        Image.fromarray(patches()[..., 0]).save(first, "JPEG")
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(patches()).save(second, "JPEG", exif=exif)

    raw = mini.copy(tmp_path / "raw", write)
    records = mini.convert("train", tmp_path / "out.h5", raw)
    rows = [k for k, wnid in enumerate(records.sequence) if wnid == "n10565667"]
    assert records.original_size[rows].tolist() == [[96, 64]] * 2
    grey = records.image(rows[0]).astype(int)
    assert np.abs(np.diff(grey, axis=2)).max() <= 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_sizes_from_headers(tmp_path: Path, kind: str) -> None:
    buffer = io.BytesIO()
    more = {"progressive": True, "comment": b"x" * 3000} if kind == "JPEG" else {}
    Image.fromarray(patches()).save(buffer, kind, **more)
    path = tmp_path / "image"
    path.write_bytes(buffer.getvalue())
    assert read_size(path) == (96, 64)
    for length in (0, 3, 10, 23):
        path.write_bytes(buffer.getvalue()[:length])
        assert read_size(path) == (0, 0)
    path.write_bytes(b"\xff\xd8" + b"\xff\xff" * 20 + buffer.getvalue()[2:])
    assert read_size(path) == ((96, 64) if kind == "JPEG" else (0, 0))


def test_processes_change_nothing(mini: Miniature, train: Records, tmp_path: Path) -> None:
    again = mini.convert("train", tmp_path / "again.h5", workers=2)
    assert again.path.read_bytes() == train.path.read_bytes()


def change_meta(change) -> object:
    def damage(root: Path) -> None:
        path = root / DEVKIT / "meta.mat"
        write_mat5(path, {"synsets": change(scipy.io.loadmat(path)["synsets"])})

    return damage


def empty(root: Path) -> None:
    for path in root.rglob("train/*/*.JPEG"):
        path.unlink()


VAL_DAMAGE = {
    "no truth": (remove(TRUTH), "no such file"),
    "no meta": (remove("meta.mat"), "no such file"),
    "truncated meta": (truncate("meta.mat"), "damaged"),
    "other meta": (change_meta(lambda s: repack_fields(s[["WNID", "words"]])), "ILSVRC2012_ID"),
    "fewer images": (remove("ILSVRC2012_val_00000002.JPEG"), "3 classes, expected 2"),
    "a class too many": (edit_text(TRUTH, "2\n", "2\n3\n"), "4 classes, expected 3"),
    "words": (edit_text(TRUTH, "2\n", "two\n"), "lines"),
    "unknown class": (edit_text(TRUTH, "2\n", "1001\n"), "class 1001"),
    "truncated image": (truncate("ILSVRC2012_val_00000002.JPEG"), "unreadable"),
    "no image": (lambda r: (r / "val/ILSVRC2012_val_00000001.JPEG").write_bytes(b"html"),
                 "unreadable"),
    "empty image": (lambda r: (r / "val/ILSVRC2012_val_00000001.JPEG").write_bytes(b""),
                    "unreadable"),
}  # fmt: skip
TRAIN_DAMAGE = {
    "no folder": (lambda r: shutil.rmtree(r / "train"), "no such folder"),
    "no images": (empty, "no .JPEG file"),
    "text in between": (lambda r: cv2.imwrite(str(r / "train/x.png"), patches()) and next(
        r.rglob("n09835506_1.JPEG")).write_text("<html>"), "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("case", VAL_DAMAGE)
def test_damaged_validation(mini: Miniature, tmp_path: Path, case: str) -> None:
    mini.refuses("val", tmp_path, *VAL_DAMAGE[case])


@pytest.mark.parametrize("case", TRAIN_DAMAGE)
def test_damaged_training(mini: Miniature, tmp_path: Path, case: str) -> None:
    mini.refuses("train", tmp_path, *TRAIN_DAMAGE[case])


def test_few_bad_images_are_counted(mini: Miniature, tmp_path: Path) -> None:
    raw = mini.copy(tmp_path / "raw", truncate("n09835506_1.JPEG"))
    records = mini.convert("train", tmp_path / "out.h5", raw, max_bad_share=0.5)
    assert len(records) == 3


def test_the_verb_ends_with_one(mini: Miniature, tmp_path: Path, capsys) -> None:
    raw = mini.copy(tmp_path / "raw", remove(TRUTH))
    assert mini.exit_code("val", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert mini.exit_code("val", tmp_path / "out.h5", mini.raw) == 0
