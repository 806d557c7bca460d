"""LSP segmentation: drawn predictions against masks, in the original image."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.body.parts import PARTS6
from pipeline.data.crops import crop_affine, zoom_affine
from pipeline.demo.actors import in_camera
from pipeline.demo.portraits import photograph
from pipeline.demo.stage import Stage
from pipeline.errors import InputError
from pipeline.evaluation import lsp
from pipeline.evaluation.predictions import Task
from pipeline.evaluation.protocols import get_protocol
from pipeline.evaluation.segmentation import SPIN_TO_UP
from pipeline.evaluation.silhouettes import faces_seen
from pipeline.files import read_json
from pipeline.joints import flip_permutation
from pipeline.records import Records
from pipeline.rendering.rasterizer import Rasterizer
from pipeline.seeding import rng
from tests.convert.demo_miniature import SHARED, Miniature, assets_of, make
from tests.evaluation.known_bodies import SIZE, KnownBodies, evaluate_verb

DEMO = {"image_size": 128, "images": 2}
FOLDER = "upi-s1h/data/lsp"
CONVERTER = {
    "converter": "lsp",
    "splits": {"test": {"folder": "lsp_dataset", "half": "second", "masks": FOLDER}},
}
SILHOUETTE, PARTS = get_protocol("lsp_silhouette"), get_protocol("lsp_parts")


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Miniature:
    return make(tmp_path_factory, "lsp", DEMO, CONVERTER)


@pytest.fixture(scope="module")
def records(mini: Miniature, tmp_path_factory: pytest.TempPathFactory) -> Records:
    return mini.convert("test", tmp_path_factory.mktemp("lsp") / "test.h5")


@cache
def photographed(raw: Path, body: Path, path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pose, betas and the joints' pixels of the people in the records' images."""
    records, poses, betas, seen = Records(path), [], [], []
    stage = Stage.build(assets_of(body), {**DEMO, **SHARED}, Path())
    for row, number in enumerate(records.frame.tolist()):
        portrait = photograph(rng(SHARED["seed"], "lsp", number), stage, alone=True)
        person, camera = portrait.people[0], portrait.camera
        full = cv2.imread(str(raw / f"lsp_dataset_original/images/im{number:04d}.jpg"))
        ratio = records.original_size[row] / np.array(full.shape[1::-1])
        seen.append(camera.project(camera.to_camera(person.joints)) * ratio)
        poses.append(in_camera(stage.bodies["neutral"], person, camera)[0])
        betas.append(person.betas)
    return np.stack(poses), np.stack(betas), np.stack(seen)


def truth(mini: Miniature, records: Records, swap: bool = False) -> KnownBodies:
    """Return a network that knows the photographed bodies; swap: with their sides changed."""
    poses, betas, seen = photographed(mini.raw, mini.body, records.path)
    if swap:
        mirrored = poses[:, flip_permutation("smpl24")] * [1, -1, -1]
        poses = np.concatenate([poses[:, :1], mirrored[:, 1:]], 1)
    return KnownBodies(mini.assets, poses, betas, seen, records)


def measure(network: KnownBodies, records: Records, protocol, mini: Miniature, raw: Path):
    settings = {"image_size": SIZE, "batch_size": 3, "raw": raw}
    return lsp.measure(Task(network, str(records.path), protocol, mini.assets, settings))


@pytest.mark.parametrize("protocol", [SILHOUETTE, PARTS])
def test_the_right_bodies_fill_the_masks(mini: Miniature, records: Records, protocol) -> None:
    measured = measure(truth(mini, records), records, protocol, mini, mini.raw)
    accuracy, f1 = protocol.metrics
    assert set(measured.pooled) == {accuracy, f1} and measured.units == {accuracy: "%", f1: ""}
    # short of 100: the networks' far camera lacks the perspective of the photographs
    assert 95 < measured.pooled[accuracy] <= 100
    assert (0.93 if protocol is SILHOUETTE else 0.8) < measured.pooled[f1] <= 1
    assert measured.rows.tolist() == [0, 1] and measured.per_sample == {}


def test_swapped_sides_show_in_the_parts_alone(mini: Miniature, records: Records) -> None:
    right, wrong = (
        measure(truth(mini, records, swap), records, PARTS, mini, mini.raw).pooled["part_seg_f1"]
        for swap in (False, True)
    )
    assert wrong < right - 0.1


def test_the_table_of_parts_is_the_one_of_the_masks(mini: Miniature, records: Records) -> None:
    """SPIN's numbers: 1 left arm, 2 right arm, 3 head, 4 left leg, 5 right leg, 6 torso."""
    names = [name.replace("_", " ") for name, _ in sorted(SPIN_TO_UP.items(), key=lambda i: i[1])]
    assert tuple(names) == PARTS6
    masks = lsp.Masks(records, mini.raw / FOLDER, PARTS)
    assert masks.numbering.tolist() == list(range(7))


def renumbered(mini: Miniature, target: Path, table: list[int]) -> Path:
    """Return a copy of the raw files whose part masks use other numbers."""
    raw = mini.copy(target)
    for path in (raw / FOLDER).glob("*_part_segmentation.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        full = np.arange(256, dtype=np.uint8)
        full[:7] = table
        cv2.imwrite(str(path), full[mask])
    return raw


def test_the_other_numbering_gives_the_same_scores(
    mini: Miniature, records: Records, tmp_path: Path
) -> None:
    """UP's tools put the head first; which numbers a mask holds is read off the joints."""
    table = [up for _, up in sorted(SPIN_TO_UP.values())]
    raw = renumbered(mini, tmp_path / "raw", table)
    before, after = (
        measure(truth(mini, records), records, PARTS, mini, folder).pooled
        for folder in (mini.raw, raw)
    )
    assert before == pytest.approx(after)


def test_unknown_numberings_are_refused(mini: Miniature, records: Records, tmp_path: Path) -> None:
    """Left and right the other way round is no numbering that is known."""
    raw = renumbered(mini, tmp_path / "raw", [0, 2, 1, 3, 5, 4, 6])
    with pytest.raises(InputError, match="in one numbering"):
        lsp.Masks(records, raw / FOLDER, PARTS)


def test_pasting_takes_the_nearest_pixel(records: Records) -> None:
    """Labels are never blended, and nothing is shown beyond the crop."""
    label = np.zeros((lsp.SIZE, lsp.SIZE), np.uint8)
    label[:, : lsp.SIZE // 2], label[:, lsp.SIZE // 2 :] = 6, 3
    pasted = lsp.paste(label, records, 0)
    width, height = records.original_size[0]
    assert pasted.shape == (height, width) and set(np.unique(pasted)) <= {0, 3, 6}
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    center, half = records.center[0], records.side[0] / 2
    inside = (np.abs(x - center[0]) < half) & (np.abs(y - center[1]) < half)
    np.testing.assert_array_equal(pasted, np.where(inside, np.where(x < center[0], 6, 3), 0))


def test_the_pasted_crop_is_the_mesh_drawn_in_the_image(mini: Miniature, records: Records) -> None:
    network = truth(mini, records)
    faces = np.ascontiguousarray(mini.assets.faces, np.int32)
    crop = Rasterizer(lsp.SIZE, lsp.SIZE)
    for row in range(len(records)):
        vertices, cam = network.vertices[row].numpy(), network.cam[row].float().numpy()
        drawn = lsp.draw(vertices, cam, SIZE, faces, crop) >= 0  # a copy: the canvas draws again
        pasted = lsp.paste(drawn.astype(np.uint8), records, row) > 0
        width, height = map(int, records.original_size[row])
        affine = crop_affine(records.center[row], records.side[row], SIZE)
        direct = faces_seen(vertices, cam, affine, SIZE, faces, Rasterizer(height, width)) >= 0
        assert direct.any() and (pasted != direct).mean() < 0.01  # single pixels of the outline
        whole = faces_seen(vertices, cam, zoom_affine(SIZE / lsp.SIZE), SIZE, faces, crop) >= 0
        np.testing.assert_array_equal(whole, drawn)


def damage_mask(name: str, change):
    def damage(root: Path) -> None:
        path = root / FOLDER / name
        if change is None:
            path.unlink()
        elif isinstance(change, float):
            path.write_bytes(path.read_bytes()[: int(change * path.stat().st_size)])
        else:
            cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))

    return damage


def colours(mask: np.ndarray) -> np.ndarray:
    return np.dstack([mask, mask // 2, mask])


DAMAGE = {
    "missing": (None, "no such file"),
    "truncated": (0.6, "truncated or no image"),
    "size": (lambda m: m[:-1], "the image's size"),
    "colours": (colours, "colours"),
    "part 9": (lambda m: np.where(m == 3, 9, m).astype(np.uint8), "0 to 6, or 255"),
    "16 bits": (lambda m: m.astype(np.uint16), "no image"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_masks_are_refused_in_one_line(
    mini: Miniature, records: Records, tmp_path: Path, case: str
) -> None:
    change, word = DAMAGE[case]
    raw = mini.copy(tmp_path / "raw", damage_mask("im0004_part_segmentation.png", change))
    with pytest.raises(InputError, match=word) as error:
        measure(truth(mini, records), records, PARTS, mini, raw)
    assert "im0004_part_segmentation.png: saw" in str(error.value)


def test_every_value_above_zero_is_the_person(
    mini: Miniature, records: Records, tmp_path: Path
) -> None:
    """Silhouettes are 255, 1 or grey; three equal channels are one."""

    def repaint(root: Path) -> None:
        for path, value in zip(sorted((root / FOLDER).glob("im*_segmentation.png")), (1, 90),
                               strict=False):  # fmt: skip
            mask = (cv2.imread(str(path), 0) > 0).astype(np.uint8) * np.uint8(value)
            cv2.imwrite(str(path), np.dstack([mask] * 3))

    raw = mini.copy(tmp_path / "raw", repaint)
    before, after = (
        measure(truth(mini, records), records, SILHOUETTE, mini, folder).pooled
        for folder in (mini.raw, raw)
    )
    assert before == after


def test_the_verb_needs_the_raw_files(
    mini: Miniature, records: Records, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = (tmp_path, mini.body, mini.assets, records.path, "lsp_parts")
    assert evaluate_verb(*arguments) == 1
    assert "--raw: saw nothing" in capsys.readouterr().err
    assert not (tmp_path / "metrics.json").exists()
    assert evaluate_verb(*arguments, "--raw", str(mini.raw)) == 0
    content = read_json(tmp_path / "metrics.json")
    assert content["protocol"]["name"] == "lsp_parts" and content["count"] == 2
    assert content["protocol"]["truth"] == FOLDER
    assert content["metrics"]["part_seg_acc"]["unit"] == "%"
    assert 0 < content["metrics"]["part_seg_f1"]["value"] < 1
