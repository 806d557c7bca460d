"""Claims decided by numbers worked out by hand."""

import copy
import csv
import json

import numpy as np
import pytest

from pipeline.__main__ import main
from pipeline.evaluation.claims import Comparison, compare, samples_interval, student_interval

TABLE = {
    "title": "Claims", "seeds": [0, 1, 2], "bootstrap": 200, "scale": "demo", "source": "demo",
    "columns": [{"protocol": "pw3d_rooted", "metrics": ["mpjpe"]}],
    "rows": [{"method": "Ours", "run": "ours"}, {"method": "Theirs", "run": "theirs"}],
    "claims": [{"claim": "ours is better", "better": "Ours", "worse": "Theirs"}],
}  # fmt: skip


def measured(run: str, seed: int, per_sample: list[float], metric: str = "mpjpe") -> dict:
    mean = float(np.mean(per_sample))
    return {"run": run, "seed": seed, "protocol": {"name": "pw3d_rooted"},
            "metrics": {metric: {"value": mean}}, "rows": list(range(len(per_sample))),
            "per_sample": {metric: per_sample}}  # fmt: skip


def rows(ours: list[list[float]], theirs: list[list[float]], metric: str = "mpjpe"):
    return ([measured("ours", k, v, metric) for k, v in enumerate(ours)],
            [measured("theirs", k, v, metric) for k, v in enumerate(theirs)])  # fmt: skip


def test_student_interval():
    """Mean 2, deviation 1, three values: 2 -+ 4.3027 / sqrt(3)."""
    assert student_interval([1.0, 2.0, 3.0]) == pytest.approx((-0.4841, 4.4841), abs=1e-4)
    assert student_interval([5.0, 5.0]) == (5.0, 5.0)
    assert student_interval([5.0]) is None


def test_seeds_are_paired():
    """Seeds differ by 30 mm, rows by 3 to 5 mm: the difference is seen through the seeds."""
    ours, theirs = rows([[50, 54], [80, 84], [60, 66]], [[53, 57], [84, 88], [65, 71]])
    result = compare(ours, theirs, "mpjpe", 100)
    assert result.gains == pytest.approx([3, 4, 5])
    assert result.interval == pytest.approx((4 - 2.4841, 4 + 2.4841), abs=1e-4)
    assert result.verdict == "supported"
    assert compare(theirs, ours, "mpjpe", 100).verdict == "contradicted"
    assert result.samples == pytest.approx((4.0, 4.0))  # 3, 4, 5 on both samples


def test_a_share_is_better_when_larger():
    ours, theirs = rows([[70, 80], [71, 83]], [[60, 70], [60, 72]], "pck")
    assert compare(ours, theirs, "pck", 10).gains == pytest.approx([10, 11])


@pytest.mark.parametrize(
    "gains, verdict",
    [([1.0, 2.0, 3.0], "within noise"), ([2.0, 2.1, 2.2], "supported"),
     ([-2.0, -2.1, -2.2], "contradicted"), ([9.0], "open: one seed")],
)  # fmt: skip
def test_verdict(gains, verdict):
    assert Comparison(gains, student_interval(gains), None).verdict == verdict


def test_samples_interval_shrinks_with_the_samples():
    values = np.random.default_rng(1).normal(3, 10, 400)
    low, high = samples_interval(values, 500)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)


def test_verb(tmp_path, capsys):
    groups = rows([[50.0, 54.0]] * 3, [[53.0, 57.0], [54.0, 58.0], [55.0, 59.0]])
    files = []
    for content in (*groups[0], *groups[1]):
        files.append(tmp_path / f"{content['run']}{content['seed']}.json")
        files[-1].write_text(json.dumps(content))
    out = tmp_path / "a.claims.csv"
    words = ["claims", "--settings", json.dumps(TABLE), "--out", str(out), "--metrics"]
    assert main([*words, *map(str, files)]) == 0
    (line,) = csv.DictReader(out.open(newline=""))
    assert line["gain"] == "4.00" and line["gain_sd"] == "1.00" and line["low"] == "1.52"
    assert line["verdict"] == "supported" and line["seeds"] == "0 1 2"
    text = out.with_suffix(".md").read_text()
    assert "4.00 ± 1.00 [1.52, 6.48] (4.00, 4.00) | supported" in text

    out.unlink()
    assert main([*words, *map(str, files[:-1])]) == 1
    assert "theirs seed 2" in capsys.readouterr().err and not out.exists()


def test_other_samples_are_refused(tmp_path, capsys):
    ours, theirs = rows([[1.0, 2.0]], [[1.0, 2.0, 3.0]])
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, content in zip(files, (*ours, *theirs), strict=True):
        path.write_text(json.dumps(content))
    settings = copy.deepcopy(TABLE) | {"seeds": [0]}
    code = main(["claims", "--settings", json.dumps(settings), "--out", str(tmp_path / "c.csv"),
                 "--metrics", *map(str, files)])  # fmt: skip
    assert code == 1 and "different samples" in capsys.readouterr().err
