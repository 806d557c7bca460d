"""Joint sets against the index tables that the public tools spell out."""

import numpy as np
import pytest

from pipeline import joints
from pipeline.joints import JOINT_SETS, bones, convert, flip_permutation, index, mapping

# Where the 17 joints of Human3.6M (left leg first) and of 3DHP stand in SPIN's 24.
H36M_SLOTS = [14, 3, 4, 5, 2, 1, 0, 16, 12, 17, 18, 9, 10, 11, 8, 7, 6]
PICKS = {  # set -> (its joints, their slots in spin24)
    "coco17": (range(17), [19, 20, 21, 22, 23, 9, 8, 10, 7, 11, 6, 3, 2, 4, 1, 5, 0]),
    "mpii16": (range(16), [0, 1, 2, 3, 4, 5, 14, 15, 12, 13, 6, 7, 8, 9, 10, 11]),
    "lsp14": (range(14), range(14)),
    "h36m17_left": (range(17), H36M_SLOTS),
    "mpi28": ([4, 18, 19, 20, 23, 24, 25, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16], H36M_SLOTS),
    "mpi17": ([14, 11, 12, 13, 8, 9, 10, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4], H36M_SLOTS),
}
SIZES = {
    "smpl24": 24, "smplx45": 45, "spin54": 54, "openpose25": 25, "openpose18": 18, "coco17": 17,
    "lsp14": 14, "j14": 14, "h36m17": 17, "h36m17_left": 17, "h36m32": 32, "mpii16": 16,
    "mpi17": 17, "mpi28": 28, "muco21": 21, "spin24": 24, "spin49": 49, "hmmr25": 25,
    "mano16": 16, "mano21": 21, "freihand21": 21,
}  # fmt: skip


def test_sets_are_complete_and_unambiguous():
    assert {name: len(names) for name, names in JOINT_SETS.items()} == SIZES
    for name, names in JOINT_SETS.items():
        assert len(set(names)) == len(names), name


@pytest.mark.parametrize("source", PICKS)
def test_maps_into_spin24(source):
    expected = np.full(24, -1)
    taken, slots = PICKS[source]
    expected[list(slots)] = list(taken)
    assert mapping(source, "spin24").tolist() == expected.tolist()


def test_map_of_the_32_h36m_joints_names_the_same_points():
    picks = [11, 6, 7, 8, 1, 2, 3, 12, 24, 14, 15, 17, 18, 19, 25, 26, 27]
    # The capture repeats some joints at the same place.
    same = {11: 0, 24: 13, 16: 13}
    expected = np.full(24, -1)
    expected[H36M_SLOTS] = [same.get(pick, pick) for pick in picks]
    assert mapping("h36m32", "spin24").tolist() == expected.tolist()
    assert mapping("h36m32", "h36m17").tolist() == [
        0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27
    ]  # fmt: skip


def test_spin49_from_spin54():
    expected = (
        "24 12 17 19 21 16 18 20 0 2 5 8 1 4 7 25 26 27 28 29 30 31 32 33 34 "
        "8 5 45 46 4 7 21 19 17 16 18 20 47 48 49 50 51 52 53 24 26 25 28 27"
    )
    assert mapping("spin54", "spin49").tolist() == list(map(int, expected.split()))


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("h36m17", "lsp14", [3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 10]),
        ("h36m17", "j14", [3, 2, 1, 4, 5, 6, 16, 15, 14, 11, 12, 13, 8, 10]),
        ("h36m17_left", "lsp14", [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10]),
        ("h36m17_left", "h36m17", [0, 4, 5, 6, 1, 2, 3, *range(7, 17)]),
        ("spin24", "j14", [*range(13), 18]),
        ("spin24", "lsp14", list(range(14))),
        ("mpi28", "mpi17", [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]),
        ("openpose25", "openpose18", [*range(8), *range(9, 19)]),
        (
            "mano21",
            "freihand21",
            [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20],
        ),
    ],
)
def test_maps_between_sets(source, target, expected):
    assert mapping(source, target).tolist() == expected


def test_h36m_head_is_not_the_lsp_head_top():
    assert mapping("h36m17", "spin24")[13] == -1
    assert mapping("lsp14", "spin24")[18] == -1
    assert index("spin24", "head_top_lsp") == 13
    assert index("spin24", "head_h36m") == 18


def test_flips():
    assert flip_permutation("smpl24").tolist() == [
        0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22
    ]  # fmt: skip
    assert flip_permutation("spin24").tolist() == [
        5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, *range(12, 20), 21, 20, 23, 22
    ]  # fmt: skip
    for name in JOINT_SETS:
        flip = flip_permutation(name)
        assert (flip[flip] == np.arange(len(flip))).all()


def test_index_takes_the_name_without_its_suffix():
    assert index("spin24", "l_hip") == 3
    assert index("h36m17", "jaw") == 9
    assert index("coco17", "r_ankle") == 16
    with pytest.raises(ValueError, match="2 joints 'l_hip'"):
        index("spin49", "l_hip")
    with pytest.raises(ValueError, match="0 joints 'tail'"):
        index("coco17", "tail")
    with pytest.raises(ValueError, match="joint set 'coco'"):
        index("coco", "nose")


def test_convert_zeroes_absent_joints():
    values = np.arange(1, 17 * 3 + 1, dtype=np.float32).reshape(17, 3)
    out = convert(values, "coco17", "spin24")
    assert (out[index("spin24", "nose")] == values[0]).all()
    assert (out[12:19] == 0).all()
    assert values.min() == 1


def test_every_set_can_be_drawn():
    for name in ("smpl24", "coco17", "lsp14", "j14", "h36m17", "mpii16", "spin24", "openpose25"):
        lines = bones(name)
        assert len(lines) >= 11
        assert max(map(max, lines)) < len(JOINT_SETS[name])
        flip = flip_permutation(name)
        undirected = {frozenset(line) for line in lines}
        assert {frozenset((flip[a], flip[b])) for a, b in lines} == undirected


def test_smpl_parents_come_first():
    parents = joints.parents_smpl24
    assert len(parents) == 24
    assert all(parent < child for child, parent in enumerate(parents))
