"""Demo data as miniatures of official layouts: made once a session, copied, damaged."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from pipeline.__main__ import main
from pipeline.body.assets import BodyAssets, load_assets
from pipeline.body.smpl import SMPLLayer
from pipeline.convert.run import convert
from pipeline.demo.generate import generate
from pipeline.demo.matlab import write_mat5
from pipeline.errors import InputError
from pipeline.joints import mapping
from pipeline.records import Records
from pipeline.rotations import axis_angle_to_matrix
from tests.body_asset import body_asset

CROP = {"size": 96, "margin": 1.8, "jpeg_quality": 95}
COMMON = {"crop": CROP, "max_bad_share": 0.0, "count_tolerance": 0.0, "box_factor": 1.2}
SHARED = {"seed": 0, "heading_deg": 75}
Change = Callable[[Path], object]


@cache
def assets_of(body: Path) -> BodyAssets:
    return load_assets(body)


@dataclass(frozen=True)
class Miniature:
    """The demo data of one dataset and how to convert them."""

    dataset: str
    raw: Path
    body: Path
    settings: dict  # of the converter

    @property
    def assets(self) -> BodyAssets:
        return assets_of(self.body)

    def convert(
        self, split: str, out: Path, raw: Path | None = None, workers: int = 1, **changes: object
    ) -> Records:
        """Convert with changes to the split's settings."""
        splits = self.settings["splits"]
        settings = self.settings | {"splits": splits | {split: splits[split] | changes}}
        self.line(split, out, raw or self.raw, settings, workers)
        return Records(out)

    def line(
        self, split: str, out: Path, raw: Path, settings: dict | None = None, workers: int = 1
    ) -> str:
        """Convert and return the line that the verb prints."""
        return convert(
            self.dataset, split, raw, self.assets.models, settings or self.settings, out,
            workers, J_regressor=self.assets.J_regressor_h36m, hands=self.assets.hand_models,
        )  # fmt: skip

    def copy(self, target: Path, change: Change | None = None) -> Path:
        """Return a changed copy of the raw files."""
        shutil.copytree(self.raw, target)
        if change:
            change(target)
        return target

    def refuses(self, split: str, tmp_path: Path, change: Change, word: str, **more: object):
        """Check that damaged files end in one line that says where, and leave nothing."""
        raw = self.copy(tmp_path / "raw", change)
        out = tmp_path / "out" / "records.h5"
        with pytest.raises(InputError, match=word) as error:
            self.convert(split, out, raw, **more)
        assert "\n" not in str(error.value)
        assert ": saw " in str(error.value) and ", expected " in str(error.value)
        assert not out.parent.exists() or list(out.parent.iterdir()) == []

    def exit_code(self, split: str, out: Path, raw: Path) -> int:
        """Run the verb."""
        return main(["convert", self.dataset, "--split", split, "--raw", str(raw), "--body",
                     str(self.body), "--settings", json.dumps(self.settings), "--out", str(out),
                     "--workers", "1"])  # fmt: skip

    def tree_joints(self, records: Records, row: int) -> np.ndarray:
        """Return SMPL's own joints (24, 3) of a record's label, where it has one in the camera."""
        pose = np.concatenate([records.global_orient[row][None], records.body_pose[row]])
        rotmats = axis_angle_to_matrix(torch.from_numpy(pose))[None]
        betas, transl = (torch.from_numpy(a[row][None]) for a in (records.betas, records.transl))
        layer = SMPLLayer(self.assets.models["neutral"], np.zeros(1, int))
        return layer.joints(betas, rotmats, transl)[0].numpy()

    def mesh_joints(self, records: Records, row: int, joint_set: str) -> np.ndarray:
        """Return joints that the Human3.6M regressor finds in a record's SMPL label, camera."""
        pose = np.concatenate([records.global_orient[row][None], records.body_pose[row]])
        rotmats = axis_angle_to_matrix(torch.from_numpy(pose))[None]
        betas, transl = (torch.from_numpy(a[row][None]) for a in (records.betas, records.transl))
        vertices = SMPLLayer(self.assets.models["neutral"])(betas, rotmats, transl)[0][0].numpy()
        middle = vertices.mean(0)
        joints = self.assets.J_regressor_h36m @ (vertices - middle) + middle
        return joints[mapping("h36m17", joint_set)]


def make(factory: pytest.TempPathFactory, dataset: str, demo: dict, settings: dict) -> Miniature:
    """Return the miniature of a dataset, made at the first call of a session."""
    body, raw = body_asset(factory), factory.getbasetemp() / "miniatures" / dataset
    if not raw.exists():
        raw.parent.mkdir(exist_ok=True)
        generate(dataset, body, {**demo, **SHARED}, raw, 1)
    return Miniature(dataset, raw, body, COMMON | settings)


def edit_mat(name: str, change: Callable[[dict], object]) -> Change:
    """Return the change of a version 5 MAT-file's variables, in place or by what is returned."""

    def damage(root: Path) -> None:
        path = sorted(root.rglob(name))[0]
        content = scipy.io.loadmat(path)
        content = {key: value for key, value in content.items() if not key.startswith("__")}
        write_mat5(path, change(content) or content)

    return damage


def edit_json(name: str, change: Callable) -> Change:
    def damage(root: Path) -> None:
        path = sorted(root.rglob(name))[0]
        content = json.loads(path.read_text())
        path.write_text(json.dumps(change(content) or content))

    return damage


def edit_text(name: str, old: str, new: str) -> Change:
    """Return the replacement of a text's first occurrence."""

    def damage(root: Path) -> None:
        path = sorted(root.rglob(name))[0]
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return damage


def truncate(name: str, share: float = 0.5) -> Change:
    def damage(root: Path) -> None:
        path = sorted(root.rglob(name))[0]
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return damage


def remove(name: str) -> Change:
    return lambda root: sorted(root.rglob(name))[0].unlink()
