"""A few hands of both data sets, converted, and the body asset with the hand."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.convert import test_complement, test_freihand
from tests.convert.demo_miniature import make


@pytest.fixture(scope="session")
def hands(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Records: `train` and `val` of FreiHAND (with meshes; with parameters only), Complement's."""
    freihand = make(tmp_path_factory, "freihand", test_freihand.DEMO, test_freihand.SETTINGS)
    complement = make(
        tmp_path_factory, "complement", test_complement.DEMO, test_complement.SETTINGS
    )
    folder: Path = tmp_path_factory.mktemp("hand_records")
    return SimpleNamespace(
        body=freihand.body,
        assets=freihand.assets,
        hand=freihand.assets.hand_models["right"],
        train=freihand.convert("train", folder / "train.h5"),
        val=freihand.convert("val", folder / "val.h5"),
        evaluation=freihand.convert("evaluation", folder / "evaluation.h5"),
        complement=complement.convert("train", folder / "complement.h5"),
    )
