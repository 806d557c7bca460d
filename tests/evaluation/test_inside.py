"""Pictures of what happens inside a network: what stands where."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipeline.errors import InputError
from pipeline.evaluation import inside
from pipeline.evaluation.overlays import PANEL
from pipeline.models.build import build_network
from pipeline.rendering.overlay import part_palette
from tests.models.conftest import HMR, PYMAF, assets  # noqa: F401


def test_iuv_shows_the_winning_part_and_its_own_channels() -> None:
    """One pixel of part 4 at U 1, V 0; its target is part 4 too; the rest is background."""
    index, u, v = (torch.zeros(1, 25, 2, 2) for _ in range(3))
    index[:, 4, 0, 1] = index[:, 0, 1] = 5.0
    u[:, 4], u[:, 0] = 1.0, 0.5
    labels = {"part": torch.tensor([[[0, 4], [0, 0]]]), "has_iuv": torch.tensor([True]),
              "uv": torch.tensor([1.0, 0.0]).expand(1, 2, 2, 2)}  # fmt: skip
    [line] = inside.iuv_lines({"index": index, "u": u, "v": v}, labels)
    assert [caption for _, caption in line] == ["part", "target", "U", "target", "V", "target"]
    pictures = [picture for picture, _ in line]
    corner, rest = (PANEL // 4, 3 * PANEL // 4), (3 * PANEL // 4, PANEL // 4)
    assert (pictures[0][corner] == part_palette()[4]).all()
    for own, target in zip(pictures[::2], pictures[1::2], strict=True):
        np.testing.assert_array_equal(own, target)
        assert (own[rest] == 255).all()
    assert pictures[2][corner].sum() > pictures[4][corner].sum()  # 1 is brighter than 0
    [parts] = inside.iuv_lines({"index": index}, labels)
    assert len(parts) == 2


def test_maps_are_summed_over_channels() -> None:
    level = torch.zeros(3, 2, 2)
    level[:2, 0, 0] = 1.0
    level[2, 1, 1] = 3.0
    picture = inside.summed_picture(level)
    cells = [picture[r, c].sum() for r in (10, PANEL - 10) for c in (10, PANEL - 10)]
    assert cells[3] > cells[0] > cells[1] == cells[2]


@torch.no_grad()
def test_lines_of_a_network(assets) -> None:  # noqa: F811
    network = build_network(PYMAF, assets).eval()
    batch = {"image": torch.zeros(2, 3, 64, 64)}
    lines = inside.iteration_lines(network, batch, assets)
    assert [caption for _, caption in lines[1]] == ["M0", "M1", "M2", "M3", "M3 side"]
    features = inside.feature_lines(network, batch)
    assert [caption for _, caption in features[0]] == ["4 x 4", "8 x 8", "16 x 16"]
    assert inside.predicted_iuv(network, batch["image"])["u"].shape == (2, 25, 16, 16)


@pytest.mark.parametrize("show", ["features", "iuv", "iterations"])
def test_networks_without_are_refused(show: str, assets) -> None:  # noqa: F811
    image = torch.zeros(1, 3, 64, 64)
    network = build_network(HMR, assets)
    calls = {
        "features": lambda: inside.feature_lines(network, {"image": image}),
        "iuv": lambda: inside.predicted_iuv(network, image),
        "iterations": lambda: inside.iteration_lines(SimpleNamespace(), {"image": image}, assets),
    }
    with pytest.raises(InputError, match="figure: network"):
        calls[show]()
