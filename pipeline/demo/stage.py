"""What every task of the demo generator works with."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.body.assets import BodyAssets
from pipeline.demo.actors import GENDERS, Body
from pipeline.demo.landmarks import Landmarks

BEARDS = {"neutral": 0.1, "male": 0.3, "female": 0.0}


class Bodies:
    """The bodies of all genders, by name."""

    def __init__(self, assets: BodyAssets):
        self.assets = assets
        self.faces = np.ascontiguousarray(assets.faces, dtype=np.int32)
        self._bodies = {
            gender: Body(assets.models[gender], assets.levels[1], BEARDS[gender])
            for gender in GENDERS
        }

    def __getitem__(self, gender: str) -> Body:
        return self._bodies[gender]


@dataclass(frozen=True)
class Stage:
    """Bodies, joints, settings and the folder that is being made."""

    bodies: Bodies
    landmarks: Landmarks
    settings: dict
    root: Path

    @classmethod
    def build(cls, assets: BodyAssets, settings: dict, root: Path) -> "Stage":
        """Return the stage of one process."""
        return cls(Bodies(assets), Landmarks(assets), settings, root)
