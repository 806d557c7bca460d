import numpy as np
import pytest

from pipeline.joints import JOINT_SETS
from pipeline.rendering.overlay import (
    LEFT,
    RIGHT,
    colour_iuv,
    draw_skeleton,
    overlay_mesh,
    part_palette,
    sheet,
    skeleton_edges,
)


@pytest.mark.parametrize("name", ["coco17", "spin24", "h36m17", "smpl24", "openpose18", "lsp14"])
def test_bones_join_neighbours_and_reach_every_joint(name):
    names, edges = JOINT_SETS[name], skeleton_edges(name)
    pairs = {frozenset((names[a], names[b])) for a, b in edges}
    assert {frozenset(("l_elbow", "l_wrist")), frozenset(("r_knee", "r_ankle"))} <= pairs
    assert not any({a[:2], b[:2]} == {"l_", "r_"} and "elbow" in a + b for a, b in pairs)
    used = {index for edge in edges for index in edge}
    loose = {names[k] for k in range(len(names)) if k not in used}
    # of joints that are marked twice under different definitions, one is joined
    assert len(loose) <= (2 if name == "spin24" else 0), loose


def test_a_joint_marked_twice_is_joined_where_it_is_labelled():
    names = JOINT_SETS["spin49"]
    shown = np.array([not name.endswith("_op") for name in names])
    edges = skeleton_edges("spin49", shown)
    assert len(edges) > 15 and all(shown[a] and shown[b] for a, b in edges)
    assert (names.index("l_hip_lsp"), names.index("l_knee")) in edges


def test_left_is_orange_and_lost_joints_are_left_out():
    joints, confidence = np.full((17, 2), np.nan), np.zeros(17)
    names = JOINT_SETS["coco17"]
    for name, place in (("l_wrist", (20.5, 10.5)), ("r_wrist", (40.5, 10.5))):
        joints[names.index(name)] = place
        confidence[names.index(name)] = 1
    image = draw_skeleton(np.zeros((32, 64, 3), np.uint8), joints, "coco17", confidence)
    assert image[10, 20].tolist() == list(LEFT)
    assert image[10, 40].tolist() == list(RIGHT)
    assert not image[20:].any()


def test_a_mesh_covers_its_silhouette():
    vertices = np.array([[-1, 1, 4], [1, 1, 4], [1, -1, 4], [-1, -1, 4.0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    K = np.array([[20.0, 0, 16], [0, 20, 16], [0, 0, 1]])  # the square from 11 to 21
    image = np.full((32, 32, 3), 50, np.uint8)
    out = overlay_mesh(image, vertices, faces, K, color=(255, 255, 255), opacity=1.0)
    changed = (out != 50).any(2)
    assert changed[11:21, 11:21].all() and changed.sum() == 100
    assert (image == 50).all()


def test_parts_have_colours_of_their_own():
    palette = part_palette().astype(int)
    apart = np.abs(palette[:, None] - palette[None]).sum(2) + 999 * np.eye(25)
    assert apart.min() > 20
    part = np.array([[0, 3]])
    colour = colour_iuv(part, np.ones((1, 2)), np.zeros((1, 2)))
    assert colour[0, 0].tolist() == [0, 0, 0] and colour[0, 1].tolist() == palette[3].tolist()


def test_sheet_takes_pictures_of_any_size():
    pictures = [np.full((h, w, 3), 7, np.uint8) for h, w in ((10, 20), (30, 5), (8, 8))]
    out = sheet(pictures, 2, ["a", "", "b"])
    assert out.shape == (60, 40, 3)
    assert (out[:10, 25:40] == 255).all()


def test_captions_stay_inside_their_picture():
    pictures = [np.full((40, 96, 3), 90, np.uint8)] * 2
    out = sheet(pictures, 2, ["images/train_0/a_very_long_name_000123.jpg", ""])
    changed = (out != 90).any(2)
    assert changed[:16, :90].any() and not changed[:, 96:].any() and not changed[20:].any()
    ends = [sheet(pictures[:1], 1, [f"{'x' * 60}{end}"]) for end in ("1.jpg", "2.jpg")]
    assert (ends[0] != ends[1]).any()  # what tells two names apart is their end
