import json
import os
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.errors import InputError
from pipeline.seeding import rng
from pipeline.synthesis.amass_files import Motion, find_motions, read_frames, sample_frames
from pipeline.synthesis.mocap import TRAIN, VALIDATION, choose, stratified_order, subset

SETTINGS = {
    "count": 200,
    "rate_hz": 10,
    "trim": 0.1,
    "min_frames": 10,
    "hold_out": ["HumanEva"],
    "datasets": ["CMU", "HumanEva", "BioMotionLab_NTroje"],
    "seed": 0,
}


def smplh(frames=240, rate=120.00004578, gender="male", seed=0, **other):
    random = np.random.default_rng(seed)
    arrays = {
        "poses": random.normal(size=(frames, 156)),
        "trans": random.normal(size=(frames, 3)),
        "betas": random.normal(size=16),
        "dmpls": np.zeros((frames, 8)),
        "gender": None if gender is None else np.array(gender),
        "mocap_framerate": np.array(rate),
    }
    arrays["poses"][:, 0] = np.arange(frames)  # a frame tells which it is
    return {k: v for k, v in (arrays | other).items() if v is not None}


def smplx(frames=240, **other):
    poses = smplh(frames)["poses"]
    arrays = {
        "root_orient": poses[:, :3],
        "pose_body": poses[:, 3:66],
        "trans": np.zeros((frames, 3)),
        "betas": np.ones(16),
        "gender": np.array("female"),
        "mocap_frame_rate": np.array(60.0),
    }
    return arrays | other


def save(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "amass"
    save(folder / "CMU/01/01_01_poses.npz", smplh(600, seed=1))
    save(folder / "CMU/01/01_02_poses.npz", smplh(300, 60.0, b"female", seed=2))
    save(folder / "CMU/02/02_01_poses.npz", smplh(5))
    save(folder / "CMU/02/shape.npz", {"betas": np.zeros(16)})
    save(folder / "CMU/02/02_02_poses.npz", {"betas": np.zeros(16)})
    save(folder / "BMLrub/rub001/walk_poses.npz", smplh(1200, 119.99999, "b'female'", seed=3))
    save(folder / "HumanEva/S1/box_stageii.npz", smplx(120))
    save(folder / "SFU/0005/jump_poses.npz", smplh(100))
    return folder


def run(raw, out, **changes):
    settings = json.dumps(SETTINGS | changes)
    return main(["mocap", "--raw", str(raw), "--settings", settings, "--out", str(out)])


def test_the_verb_samples_and_counts(raw, tmp_path, capsys):
    assert run(raw, tmp_path / "mocap.h5", count=10000) == 0
    with h5py.File(tmp_path / "mocap.h5") as file:
        data = {name: file[name][:] for name in file if isinstance(file[name], h5py.Dataset)}
        assert json.loads(file.attrs["files_left_out"]) == {
            "of other sub-datasets": 1,
            "too short": 1,
            "without poses": 1,
        }
        names = [name.decode() for name in file["sequences/name"]]
    assert data["pose"].dtype == np.float32 and data["pose"].shape[1] == 66
    # 80 % of 1200, 600, 300 and 120 frames at 120, 120, 60 and 60 fps, ten a second
    assert np.bincount(data["sequence"]).tolist() == [80, 40, 40, 16]
    assert names[0] == "BMLrub/rub001/walk_poses.npz"
    assert data["datasets"].tolist() == [b"BioMotionLab_NTroje", b"CMU", b"HumanEva"]
    assert (data["split"] == (data["dataset"] == 2)).all()
    assert set(data["gender"][data["dataset"] == 0]) == {2}
    assert set(data["gender"][data["sequence"] == 1]) == {1}
    assert np.array_equal(data["pose"][:, 0], data["frame"])  # each row is its own frame
    assert sorted(data["order"][data["split"] == TRAIN]) == list(range(160))
    assert not data["betas"][data["split"] == VALIDATION].any()  # SMPL-X shapes are not SMPL's
    assert data["betas"][data["split"] == TRAIN].all()
    assert "fewer than count" in capsys.readouterr().out


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(raw, tmp_path, capsys):
    for number in range(150):
        save(raw / f"CMU/03/03_{number:03d}_poses.npz", smplh(40, seed=number))
    whole, out = tmp_path / "whole.h5", tmp_path / "killed.h5"
    assert run(raw, whole) == 0
    command = [sys.executable, "-m", "pipeline", "mocap", "--raw", str(raw), "--shard", "1",
               "--settings", json.dumps(SETTINGS), "--out", str(out)]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    shards, deadline = tmp_path / "killed.h5.shards", time.monotonic() + 120
    while len(list(shards.glob("*.npz"))) < 5:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL and not out.exists()
    left = sorted(shards.glob("*.npz"))
    left[-1].write_bytes(left[-1].read_bytes()[:100])  # as a full disk may leave it
    capsys.readouterr()
    assert main(command[3:]) == 0
    assert f"resuming after {len(left) - 1} of " in capsys.readouterr().out
    assert out.read_bytes() == whole.read_bytes()
    assert not shards.exists() and not list(tmp_path.glob("*.part"))


def test_shards_of_other_settings_or_files_are_not_taken_up(raw, tmp_path, monkeypatch, capsys):
    def stopped(*arguments):
        raise KeyboardInterrupt

    out = tmp_path / "mocap.h5"
    with monkeypatch.context() as patch:
        patch.setattr("h5py.Dataset.__setitem__", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(raw, out)
    kept = tmp_path / "mocap.h5.shards"
    copy = shutil.copytree(kept, tmp_path / "copy")
    for change, changes in ((None, {}), (None, {"seed": 1}), ("touch", {})):
        shutil.copytree(copy, kept, dirs_exist_ok=True)
        if change:
            os.utime(raw / "CMU/01/01_01_poses.npz")
        capsys.readouterr()
        assert run(raw, out, **changes) == 0
        assert ("resuming" in capsys.readouterr().out) == (not change and not changes)


def test_a_damaged_file_leaves_no_shards(raw, tmp_path):
    poses = smplh(300, 60.0)["poses"]
    poses[:] = np.nan
    save(raw / "CMU/01/01_02_poses.npz", smplh(300, 60.0, poses=poses))
    assert run(raw, tmp_path / "mocap.h5") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["amass"]


def test_same_bytes_for_any_number_of_workers(raw, tmp_path):
    run(raw, tmp_path / "a.h5")
    settings = json.dumps(SETTINGS)
    out = str(tmp_path / "b.h5")
    main(["mocap", "--raw", str(raw), "--settings", settings, "--out", out, "--workers", "3"])
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    run(raw, tmp_path / "c.h5", seed=1)
    assert (tmp_path / "a.h5").read_bytes() != (tmp_path / "c.h5").read_bytes()


def test_a_cut_holds_the_same_share_of_every_sub_dataset(raw, tmp_path):
    run(raw, tmp_path / "mocap.h5", count=40)
    with h5py.File(tmp_path / "mocap.h5") as file:
        train = file["split"][:] == TRAIN
        counts = np.bincount(file["dataset"][:][train])
        assert np.abs(counts - [20, 20]).max() <= 1 and train.sum() == 40
        assert np.count_nonzero(~train) == 4  # a quarter of 16, as of those to train on


def test_order_is_stratified_and_subsets_are_nested():
    groups = np.repeat([0, 1, 2], [1000, 200, 30])
    order = stratified_order(groups, rng(0, "test"))
    assert sorted(order) == list(range(1230))
    split = np.zeros(1230, np.uint8)
    before = np.zeros(1230, bool)
    for percent in (20, 40, 60, 80, 100):
        mask = subset(order, split, percent)
        assert mask[before].all() and mask.sum() == round(12.3 * percent)
        share = np.bincount(groups[mask]) / np.array([1000, 200, 30])
        assert np.abs(share - percent / 100).max() < 0.04
        before = mask
    rows = np.argsort(order)[:600]
    assert (np.diff(rows) > 0).mean() < 0.7  # random within a group


def test_subset_keeps_the_validation_rows():
    split = np.array([0, 1, 0, 1, 0])
    order = np.array([2, 0, 0, 1, 1])
    assert subset(order, split, 34).tolist() == [False, True, True, True, False]
    for wrong in (0, 101, 1):
        with pytest.raises(InputError, match="percent"):
            subset(order, split, wrong)


def motion(frames, rate, path=None):
    return Motion(path, "CMU/01/a_poses.npz", "CMU", "01", "smplh", frames, rate)


def test_sampling_goes_by_time():
    frames = sample_frames(motion(1000, 59.94), 10, 0.1)
    assert frames[0] == 100 and frames[-1] < 900
    assert np.abs((frames - 100) / 59.94 - np.arange(len(frames)) / 10).max() <= 0.51 / 59.94
    assert len(sample_frames(motion(1000, 119.99), 10, 0)) == 84
    slow = sample_frames(motion(50, 5.0), 10, 0)
    assert np.array_equal(slow, np.arange(50))  # no frame twice


def test_a_subject_can_be_held_out(raw):
    motions, _ = find_motions(raw, ["CMU", "HumanEva", "BioMotionLab_NTroje"])
    sample = choose(motions, SETTINGS | {"hold_out": ["CMU/01"], "min_frames": 1})
    held = {motions[m].name for m in sample.motion[sample.split == VALIDATION]}
    assert held == {"CMU/01/01_01_poses.npz", "CMU/01/01_02_poses.npz"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets": ["CMU", "Kit"]}, "mocap.datasets: saw unknown sub-dataset Kit"),
        ({"datasets": ["CMU", "KIT", "HumanEva"]}, "none of ['KIT']"),
        ({"hold_out": ["SFU"]}, "mocap.hold_out: saw SFU"),
        ({"hold_out": ["CMU", "HumanEva", "BMLrub"]}, "no frame to train on"),
    ],
)
def test_contradicting_settings_are_refused(raw, tmp_path, capsys, changes, message):
    assert run(raw, tmp_path / "mocap.h5", **changes) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("mocap.h5*"))


def test_unknown_folders_are_refused(raw, tmp_path, capsys):
    save(raw / "MyStudio/p1/a_poses.npz", smplh())
    assert run(raw, tmp_path / "mocap.h5") == 1
    assert "unknown sub-dataset MyStudio" in capsys.readouterr().err


def test_both_releases_of_a_motion_are_refused(raw, tmp_path, capsys):
    save(raw / "CMU/01/01_01_stageii.npz", smplx())
    assert run(raw, tmp_path / "mocap.h5") == 1
    assert "one release of a motion" in capsys.readouterr().err


def _nan():
    arrays = smplh(600)
    arrays["poses"][:, 40] = np.nan
    return arrays


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (_nan(), "poses: saw values that are no numbers"),
        (smplh(600, betas=np.full(16, np.inf)), "betas: saw values that are no numbers"),
        (smplh(600, betas=np.zeros(5)), "betas: saw 5 values"),
        (smplh(600, betas=None), "betas: saw no such array"),
        (smplh(600, gender=None), "gender: saw no such array"),
        (smplh(600, gender="woman"), "gender: saw woman"),
        (smplh(600, trans=np.zeros((500, 3))), "poses: saw 600 frames"),
        (smplh(600, trans=None), "trans"),
        (smplh(600, poses=np.zeros((600, 63))), "poses: saw 63 values"),
        (smplh(600, rate=0.0), "mocap_framerate: saw 0.0"),
        (smplh(600, mocap_framerate=None), "mocap_framerate: saw None"),
        (smplh(600, gender=np.array([{}])), "without pickled objects"),
    ],
)
def test_malformed_files_are_named(raw, tmp_path, capsys, arrays, message):
    save(raw / "CMU/01/01_01_poses.npz", arrays)
    assert run(raw, tmp_path / "mocap.h5") == 1
    error = capsys.readouterr().err
    assert "01_01_poses.npz" in error and message in error
    assert sum(line.startswith("error: ") for line in error.splitlines()) == 1
    assert not list(tmp_path.glob("mocap.h5*"))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_truncated_files_are_named(raw, tmp_path, capsys, share):
    path = raw / "CMU/01/01_01_poses.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert run(raw, tmp_path / "mocap.h5") == 1
    assert "01_01_poses.npz: saw a damaged file" in capsys.readouterr().err


def test_altered_bytes_are_noticed(raw, tmp_path, capsys):
    path = raw / "CMU/01/01_01_poses.npz"
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)
    assert run(raw, tmp_path / "mocap.h5") == 1
    assert "poses: saw a damaged file" in capsys.readouterr().err


def test_hand_poses_of_smplh_never_reach_smpl(tmp_path):
    arrays = smplh(20)
    arrays["poses"][:, 66:] = 99.0
    path = save(tmp_path / "a_poses.npz", arrays)
    pose, betas, gender = read_frames(motion(20, 60.0, path), np.array([3, 7]))
    assert pose.shape == (2, 66) and pose.max() < 99 and gender == 1
    assert np.allclose(betas, arrays["betas"][:10])
