import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.spatial.transform import Rotation

from pipeline.__main__ import main

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture(scope="session")
def camera_table():
    return yaml.safe_load(PARAMS.read_text())["synthesis"]["cameras"]


@pytest.fixture(scope="session")
def body_file(tmp_path_factory):
    """Return the open body's file, made by the verbs that make it."""
    folder = tmp_path_factory.mktemp("body")
    assert main(["body-demo", "--out", str(folder / "raw")]) == 0
    settings = json.dumps({"levels": [1723, 431], "num_betas": 10})
    arguments = ["--raw", str(folder / "raw"), "--settings", settings]
    assert main(["body", *arguments, "--out", str(folder / "smpl.npz")]) == 0
    return folder / "smpl.npz"


@pytest.fixture(scope="session")
def mocap_file(tmp_path_factory):
    """Return 120 sampled poses of upright people, half of them held out."""
    folder = tmp_path_factory.mktemp("mocap")
    random = np.random.default_rng(0)
    for number, gender in enumerate(("male", "female", "neutral", "male")):
        frames = 60
        poses = np.zeros((frames, 156))
        poses[:, 3:66] = random.normal(scale=0.15, size=(frames, 63))
        heading = random.uniform(-np.pi, np.pi, size=(frames, 1))
        upright = Rotation.from_euler("z", heading) * Rotation.from_euler("x", np.pi / 2)
        poses[:, :3] = upright.as_rotvec()
        path = folder / f"amass/Demo/s{number % 2}/motion{number}_poses.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            path,
            poses=poses,
            trans=np.zeros((frames, 3)),
            betas=random.normal(size=16),
            gender=np.array(gender),
            mocap_framerate=np.array(20.0),
        )
    settings = {"count": 1000, "rate_hz": 10, "trim": 0, "min_frames": 1, "seed": 0}
    settings |= {"datasets": ["Demo"], "hold_out": ["Demo/s1"]}
    arguments = ["--raw", str(folder / "amass"), "--settings", json.dumps(settings)]
    assert main(["mocap", *arguments, "--out", str(folder / "mocap.h5")]) == 0
    return folder / "mocap.h5"
