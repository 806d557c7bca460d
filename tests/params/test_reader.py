"""Mistakes in a tree are named by their full path."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from pipeline.params.reader import Positive, Range, Refused, Tagged, read


@dataclass(frozen=True)
class Inner:
    size: Positive
    mode: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    rate: float
    names: list[str]
    maybe: Annotated[float, Range(0, 1)] | None = None
    width: Positive | Literal["2x"] = 1


def outer(**changes: Any) -> dict:
    return {"inner": {"size": 3}, "rate": 1, "names": ["x"]} | changes


def test_good_tree() -> None:
    assert read(Outer, outer(), "") == Outer(Inner(3), 1.0, ["x"])
    assert read(Outer, outer(width="2x", maybe=0.5), "").width == "2x"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {"inner": {"sise": 3}},
            "params.yaml: o.inner.sise: saw an unknown key, expected size",
        ),
        ({"inner": {}}, "params.yaml: o.inner.size: saw nothing, expected a whole number"),
        ({"inner": {"size": 0}}, "o.inner.size: saw 0, expected a whole number, at least 1"),
        ({"inner": {"size": True}}, "o.inner.size: saw True, expected a whole number"),
        ({"inner": {"size": 1, "mode": "c"}}, "o.inner.mode: saw 'c', expected one of a, b"),
        ({"inner": [1]}, "params.yaml: o.inner: saw [1], expected a mapping"),
        ({"rate": "1e-3"}, "o.rate: saw '1e-3', expected a number (YAML wants 1.0e-3 for 1e-3)"),
        ({"names": "x"}, "params.yaml: o.names: saw 'x', expected a list"),
        ({"names": ["x", 2]}, "params.yaml: o.names[1]: saw 2, expected a text"),
        ({"maybe": 2.0}, "params.yaml: o.maybe: saw 2.0, expected a number, 0 to 1"),
        ({"width": "3x"}, "params.yaml: o.width: saw '3x', expected a whole number"),
    ],
)
def test_bad_tree(changes: dict, line: str) -> None:
    with pytest.raises(Refused) as refused:
        read(Outer, outer(**changes), "o")
    assert line in str(refused.value)


def test_variants_by_kind() -> None:
    hint = Annotated[object, Tagged({"inner": Inner}, "mode")]
    with pytest.raises(Refused, match=r"n\.mode: saw 'innr', expected inner"):
        read(hint, {"mode": "innr", "size": 1}, "n")
