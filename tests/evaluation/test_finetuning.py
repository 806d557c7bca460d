"""The figure of fine-tuning with and without pre-training."""

from pathlib import Path

import pytest
from matplotlib.image import imread

from pipeline import files
from pipeline.errors import InputError
from pipeline.evaluation.finetuning import draw, read_course

ROWS = [{"run": "a", "pretrained": True, "fraction": 1.0},
        {"run": "b", "pretrained": True, "fraction": 0.05},
        {"run": "c", "pretrained": False, "fraction": 1.0}]  # fmt: skip


def written(folder: Path, name: str, errors: list[float]) -> Path:
    course = [{"step": 10 * k, "pa_mpjpe": error} for k, error in enumerate(errors)]
    files.write_json(folder / f"{name}.json", {"course": course})
    return folder / f"{name}.json"


def test_the_last_scores_are_told_by_run_and_seed(tmp_path: Path, capsys) -> None:
    metrics = [written(tmp_path, f"{run}{seed}", [200.0, level + seed])
               for run, level in (("a", 80.0), ("b", 120.0), ("c", 150.0))
               for seed in (0, 1)]  # fmt: skip
    settings = {"rows": ROWS, "seeds": [0, 1]}
    with pytest.raises(InputError, match="saw 5 files, expected 3 rows x 2 seeds"):
        draw(settings, metrics[1:], tmp_path / "out.png")
    draw(settings, metrics, tmp_path / "out.png")
    said = capsys.readouterr().out
    assert '"with pre-training, 100 %": [80.0, 81.0]' in said
    assert '"with pre-training, 5 %": [120.0, 121.0]' in said
    assert '"without, 100 %": [150.0, 151.0]' in said
    picture = imread(tmp_path / "out.png")
    assert picture.shape[1] > 2 * picture.shape[0] and picture[..., :3].std() > 0.05


def test_a_run_without_scores_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    files.write_json(path, {"course": []})
    with pytest.raises(InputError, match="metrics.json: course: saw no scores.*validate_every"):
        read_course(path)
