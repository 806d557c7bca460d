"""LSP and LSP Extended: round trips through the official layouts, their traps, their damage."""

import json
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from pipeline.convert.common import project
from pipeline.demo.matlab import write_mat5, write_mat73
from pipeline.demo.portraits import photograph
from pipeline.demo.stage import Stage
from pipeline.joints import index, joint_names
from pipeline.records import Records
from pipeline.seeding import rng
from tests.convert.demo_miniature import (
    SHARED,
    Miniature,
    edit_json,
    edit_mat,
    make,
    remove,
    truncate,
)

LSP_DEMO, LSPET_DEMO = {"image_size": 128, "images": 2}, {"image_size": 128, "images": 5}
FULL, SMALL, MASKS = "lsp_dataset_original", "lsp_dataset", "upi-s1h/data/lsp"
LSP = {
    "converter": "lsp",
    "hidden_joints": "keep",
    "splits": {
        "train": {"folder": FULL, "half": "first"},
        "test": {"folder": SMALL, "half": "second", "masks": MASKS},
    },
}
LSPET = {
    "converter": "lspet", "folder": "hr-lspet", "labels": "EFT",
    "labels_file": "eft_fit/LSPet_ver01.json", "splits": {"train": {}},
}  # fmt: skip
NUMBERS = [1, 3, 4, 6, 7]  # of the images, the other numbers are missing


@pytest.fixture(scope="module")
def lsp(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "lsp", LSP_DEMO, LSP)


@pytest.fixture(scope="module")
def lspet(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "lspet", LSPET_DEMO, LSPET)


@pytest.fixture(scope="module")
def extended(lspet: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return lspet.convert("train", tmp_path_factory.mktemp("lspet") / "train.h5")


def seen_limbs(mini: Miniature, demo: dict, number: int) -> dict[str, np.ndarray]:
    """Return where the limbs of SMPL's own tree are in the full image of a number."""
    stage = Stage.build(mini.assets, {**demo, **SHARED}, Path())
    portrait = photograph(rng(SHARED["seed"], mini.dataset, number), stage, alone=True)
    pixels = portrait.camera.project(portrait.camera.to_camera(portrait.people[0].joints))
    limbs = [n for n in joint_names("smpl24") if n[2:] in ("knee", "ankle", "elbow", "wrist")]
    return {name: pixels[index("smpl24", name)] for name in limbs}


def raw_joints(mini: Miniature, folder: str) -> np.ndarray:
    return scipy.io.loadmat(mini.raw / folder / "joints.mat")["joints"]


def test_joints_of_both_sizes_are_the_bodys(lsp: Miniature, tmp_path: Path) -> None:
    """Left and right are the person's; the small images hold the same joints, scaled."""
    train = lsp.convert("train", tmp_path / "train.h5")
    test = lsp.convert("test", tmp_path / "test.h5")
    assert train.frame.tolist() == [1, 2] and test.frame.tolist() == [3, 4]
    assert train.name[0] == f"{FULL}/images/im0001.jpg"
    assert test.name[1] == f"{SMALL}/images/im0004.jpg"
    for records in (train, test):
        assert records.keypoint_set == "lsp14" and records.smpl_valid is None
        for row in range(len(records)):
            image = cv2.imread(str(lsp.raw / FULL / f"images/im{records.frame[row]:04d}.jpg"))
            ratio = records.original_size[row] / np.array(image.shape[1::-1])
            for limb, pixel in seen_limbs(lsp, LSP_DEMO, int(records.frame[row])).items():
                found = records.keypoints_2d[row, index("lsp14", limb), :2]
                np.testing.assert_allclose(found, pixel * ratio, atol=0.02)


def test_the_box_spans_the_joints(lsp: Miniature, tmp_path: Path) -> None:
    records = lsp.convert("test", tmp_path / "test.h5")
    points = records.keypoints_2d[..., :2]
    np.testing.assert_allclose(records.side, 1.2 * np.ptp(points, axis=1).max(1), rtol=1e-5)
    np.testing.assert_allclose(records.center, (points.min(1) + points.max(1)) / 2, rtol=1e-5)
    assert abs(records.side[0] / 1.2 - 150) < 1  # people of 150 px


def test_one_in_lsps_third_row_means_hidden(lsp: Miniature, tmp_path: Path) -> None:
    """Hidden joints are labelled too: they count unless they are dropped."""

    def hide(content: dict) -> None:
        content["joints"][2] = 0
        content["joints"][2, 6] = 1  # the right wrist of every image

    raw = lsp.copy(tmp_path / "raw", edit_mat(f"{FULL}/joints.mat", hide))
    kept = lsp.convert("train", tmp_path / "kept.h5", raw)
    assert (kept.keypoints_2d[..., 2] == 1).all()
    dropped = lsp.convert("train", tmp_path / "dropped.h5", raw, hidden_joints="drop")
    confidence = np.ones(14)
    confidence[6] = 0
    assert (dropped.keypoints_2d[..., 2] == confidence).all()
    assert (dropped.keypoints_2d[:, 6] == 0).all()
    assert "dropped" in dropped.attrs["rule"] and "kept" in kept.attrs["rule"]


def test_exif_orientation_is_ignored(lsp: Miniature, tmp_path: Path) -> None:
    """The labels are of the stored pixels, whatever way up a viewer would show them."""
    raw = lsp.copy(tmp_path / "raw")
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    for path in raw.rglob("im*.jpg"):
        data = path.read_bytes()
        path.write_bytes(data[:2] + segment + data[2:])
        assert (
            cv2.imread(str(path)).shape[:2]
            != cv2.imdecode(np.frombuffer(data, "u1"), cv2.IMREAD_COLOR).shape[:2]
            or len(set(cv2.imread(str(path)).shape[:2])) == 1
        )
    plain = lsp.convert("train", tmp_path / "plain.h5")
    tagged = lsp.convert("train", tmp_path / "tagged.h5", raw)
    assert [tagged.jpeg(i) for i in range(2)] == [plain.jpeg(i) for i in range(2)]


def test_images_are_read_in_rgb(lsp: Miniature, tmp_path: Path) -> None:
    def paint(root: Path) -> None:
        for path in (root / FULL / "images").glob("*.jpg"):
            image = cv2.imread(str(path))
            cv2.imwrite(str(path), np.full_like(image, (0, 0, 255)))  # OpenCV's red

    raw = lsp.copy(tmp_path / "raw", paint)
    image = lsp.convert("train", tmp_path / "out.h5", raw).image(0)
    assert image[48, 48].tolist()[0] > 240 and image[48, 48].max() < 256
    assert image[48, 48].tolist()[2] < 15


def test_masks_are_sources(lsp: Miniature, tmp_path: Path) -> None:
    """The records say by their hash which masks they were made beside."""
    before = lsp.convert("test", tmp_path / "a.h5").attrs["source_sha256"]

    def repaint(root: Path) -> None:
        path = next((root / MASKS).glob("*_part_segmentation.png"))
        cv2.imwrite(str(path), np.zeros((9, 9), np.uint8))

    raw = lsp.copy(tmp_path / "raw", repaint)
    assert lsp.convert("test", tmp_path / "b.h5", raw).attrs["source_sha256"] != before


def swap_lsp_axes(content: dict) -> dict:
    return {"joints": content["joints"].transpose(1, 0, 2)}


def set_joint(row: int, value: float):
    def change(content: dict) -> None:
        content["joints"][row, 3, 0] = value

    return change


def as_version_7_3(root: Path) -> None:
    write_mat73(root / FULL / "joints.mat", {"joints": np.zeros((4, 14, 3))})


def normalise(content: dict) -> None:
    content["joints"][:2] /= 1000


LSP_DAMAGE = {
    "no joints": ("train", remove(f"{FULL}/joints.mat"), "joints.mat: saw no such file"),
    "truncated": ("train", truncate(f"{FULL}/joints.mat"), "damaged content"),
    "other variable": ("train", edit_mat(f"{FULL}/joints.mat",
                       lambda c: {"joints2": c["joints"]}), "joints: saw only joints2"),
    "axes of LSPET": ("train", edit_mat(f"{FULL}/joints.mat", swap_lsp_axes), r"\(14, 3, 4\)"),
    "NaN": ("train", edit_mat(f"{FULL}/joints.mat", set_joint(1, np.nan)), "not finite"),
    "no flag": ("train", edit_mat(f"{FULL}/joints.mat", set_joint(2, 2)), "third row"),
    "a column too many": ("train", edit_mat(f"{FULL}/joints.mat",
                          lambda c: {"joints": np.tile(c["joints"], 2)}), "4 images, im0005"),
    "an image too few": ("train", remove(f"{FULL}/images/im0002.jpg"), "im0002 missing"),
    "not in pixels": ("train", edit_mat(f"{FULL}/joints.mat", normalise), "at least one sample"),
    "version 7.3": ("train", as_version_7_3, "7.3"),
    "truncated image": ("train", truncate(f"{FULL}/images/im0001.jpg"), "unreadable"),
    "no mask": ("test", remove("im0004_part_segmentation.png"), "no such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", LSP_DAMAGE)
def test_damaged_lsp_is_refused_in_one_line(lsp: Miniature, tmp_path: Path, case: str) -> None:
    split, change, word = LSP_DAMAGE[case]
    lsp.refuses(split, tmp_path, change, word)


def test_unknown_half_is_refused(lsp: Miniature, tmp_path: Path) -> None:
    lsp.refuses("train", tmp_path, lambda root: None, "half: saw third", half="third")


def test_the_verb_ends_with_one(lsp: Miniature, tmp_path: Path, capsys) -> None:
    raw = lsp.copy(tmp_path / "raw", truncate(f"{FULL}/joints.mat"))
    assert lsp.exit_code("train", tmp_path / "out.h5", raw) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert lsp.exit_code("train", tmp_path / "out.h5", lsp.raw) == 0


def test_fits_of_eft_project_onto_the_joints(lspet: Miniature, extended: Records) -> None:
    assert extended.smpl_valid.tolist() == [1, 1, 0, 1, 1]  # im00004 has no fit
    for row in np.flatnonzero(extended.smpl_valid):
        number = int(extended.frame[row])
        joints = lspet.tree_joints(extended, row)
        apart = []
        for limb, pixel in seen_limbs(lspet, LSPET_DEMO, number).items():
            own = project(joints[index("smpl24", limb)], extended.K[row])
            apart.append(np.linalg.norm(own - pixel) / extended.side[row])
        # the crop's far camera cannot follow the perspective of a real one
        assert np.median(apart) < 0.03 and max(apart) < 0.12


def test_one_in_lspets_third_column_means_visible(lspet: Miniature, extended: Records) -> None:
    """Joints that are not visible hold junk: it is neither a label nor part of the box."""
    joints = raw_joints(lspet, "hr-lspet")
    visible = joints[:, 2].T == 1
    assert not visible.all() and joints[:, :2].min() < 0
    np.testing.assert_array_equal(extended.keypoints_2d[..., 2] > 0, visible)
    assert (extended.keypoints_2d[~visible] == 0).all()
    for row in range(len(extended)):
        points = extended.keypoints_2d[row][visible[row], :2]
        assert abs(extended.side[row] - 1.2 * np.ptp(points, axis=0).max()) < 1e-2


def test_columns_follow_the_numbers_in_rising_order(lspet: Miniature, extended: Records) -> None:
    """Numbers have gaps: a column is neither number - 1 nor the order of a directory."""
    assert extended.frame.tolist() == NUMBERS
    assert extended.name[1] == "hr-lspet/im00003.png"
    for row, number in enumerate(NUMBERS):
        for limb, pixel in seen_limbs(lspet, LSPET_DEMO, number).items():
            x, y, confidence = extended.keypoints_2d[row, index("lsp14", limb)]
            if confidence:
                np.testing.assert_allclose([x, y], pixel, atol=0.02)


def test_the_low_resolution_release_is_read_too(lspet: Miniature, tmp_path: Path) -> None:
    """Its images are jpg, in a folder of their own."""

    def rearrange(root: Path) -> None:
        folder = root / "hr-lspet/images"
        folder.mkdir()
        for path in sorted((root / "hr-lspet").glob("*.png")):
            cv2.imwrite(str(folder / f"{path.stem}.jpg"), cv2.imread(str(path)))
            path.unlink()

    raw = lspet.copy(tmp_path / "raw", rearrange)
    records = lspet.convert("train", tmp_path / "out.h5", raw, labels=None)
    assert records.frame.tolist() == NUMBERS and records.smpl_valid is None
    assert records.name[0] == "hr-lspet/images/im00001.jpg"


def test_too_few_visible_joints_are_left_out(lspet: Miniature, tmp_path: Path) -> None:
    def hide(content: dict) -> None:
        content["joints"][1:, 2, 2] = 0

    raw = lspet.copy(tmp_path / "raw", edit_mat("joints.mat", hide))
    line = lspet.line("train", tmp_path / "out.h5", raw)
    assert "4 samples" in line and "1 too few visible joints" in line


def twin(root: Path) -> None:
    path = root / "hr-lspet/im00003.png"
    cv2.imwrite(str(path.with_suffix(".jpg")), cv2.imread(str(path)))


def reverse_images(root: Path) -> None:
    paths = sorted((root / "hr-lspet").glob("*.png"))
    content = [path.read_bytes() for path in paths]
    names = [path.name for path in paths]
    fits = json.loads((root / "eft_fit/LSPet_ver01.json").read_text())
    for entry in fits["data"]:
        entry["imageName"] = names[-1 - names.index(entry["imageName"])]
    (root / "eft_fit/LSPet_ver01.json").write_text(json.dumps(fits))
    for path, data in zip(paths, content[::-1], strict=True):
        path.write_bytes(data)


def fit(**changes: object):
    def change(content: dict) -> None:
        content["data"][0].update(changes)

    return edit_json("LSPet_ver01.json", change)


LSPET_DAMAGE = {
    "axes of LSP": (edit_mat("joints.mat", lambda c: {"joints": c["joints"].transpose(1, 0, 2)}),
                    r"\(3, 14, 5\)"),
    "an image too few": (remove("im00003.png"), "5 columns for 4 images"),
    "two of a number": (twin, "im00003"),
    "infinite": (edit_mat("joints.mat", lambda c: c["joints"].__setitem__((0, 0, 0), np.inf)),
                 "not finite"),
    "no flag": (edit_mat("joints.mat", lambda c: c["joints"].__setitem__((0, 2, 0), -1)),
                "third column"),
    "truncated joints": (truncate("joints.mat"), "damaged content"),
    "truncated fits": (truncate("LSPet_ver01.json"), "no JSON"),
    "no fits": (remove("LSPet_ver01.json"), "no such file"),
    "fits without data": (edit_json("LSPet_ver01.json", lambda c: {"ver": 1}), "data: saw only"),
    "axis-angle": (fit(parm_pose=np.zeros((24, 3)).tolist()), r"parm_pose: saw shape \(24, 3\)"),
    "no rotation": (fit(parm_pose=np.full((24, 3, 3), 0.5).tolist()), "off rotations"),
    "mirrored": (fit(parm_pose=np.tile(np.diag([-1.0, 1, 1]), (24, 1, 1)).tolist()), "parm_pose"),
    "SMPL-X": (fit(smpltype="smplx"), "smpltype: saw smplx"),
    "negative camera": (fit(parm_cam=[-0.9, 0, 0]), "positive scale"),
    "text": (fit(bbox_center="middle"), "bbox_center"),
    "unreadable image": (truncate("im00001.png"), "unreadable"),
}  # fmt: skip


@pytest.mark.parametrize("case", LSPET_DAMAGE)
def test_damaged_lspet_is_refused_in_one_line(lspet: Miniature, tmp_path: Path, case: str) -> None:
    lspet.refuses("train", tmp_path, *LSPET_DAMAGE[case])


def test_fits_of_other_images_are_left_out(lspet: Miniature, tmp_path: Path) -> None:
    """A fit whose own keypoints are somewhere else is of another person."""
    raw = lspet.copy(tmp_path / "raw", reverse_images)
    records = lspet.convert("train", tmp_path / "out.h5", raw)
    assert records.smpl_valid is None or records.smpl_valid.sum() <= 1


def test_written_joints_have_matlabs_shape(lsp: Miniature, lspet: Miniature) -> None:
    assert raw_joints(lsp, FULL).shape == raw_joints(lsp, SMALL).shape == (3, 14, 4)
    assert raw_joints(lspet, "hr-lspet").shape == (14, 3, 5)


def test_one_image_alone(lspet: Miniature, tmp_path: Path) -> None:
    """MATLAB drops a last axis of length one when a file holds a single image."""
    folder = tmp_path / "raw/hr-lspet"
    folder.mkdir(parents=True)
    shutil.copy(lspet.raw / "hr-lspet/im00003.png", folder)
    joints = raw_joints(lspet, "hr-lspet")[..., 1]
    write_mat5(folder / "joints.mat", {"joints": joints[..., None]})
    records = lspet.convert("train", tmp_path / "out.h5", tmp_path / "raw", labels=None)
    assert records.frame.tolist() == [3]
