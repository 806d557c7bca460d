"""Reads a plain tree (YAML, JSON) into typed dataclasses and refuses whatever does not fit.

The type hints are the schema: plain types, `X | None`, `Literal`, `list`, `tuple`, `dict`,
dataclasses, dictionaries of them, `Annotated` numbers with a `Range`, and mappings whose dataclass
is `Tagged` by one of their keys.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar

from pipeline.errors import InputError

T = TypeVar("T")
FILE = "params.yaml"


@dataclass(frozen=True)
class Range:
    """Numbers that a field accepts: low <= value <= high."""

    low: float
    high: float = float("inf")

    def __str__(self) -> str:
        if self.high == float("inf"):
            return f"at least {self.low:g}"
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Tagged:
    """Mappings one of whose keys, `tag`, names their dataclass in `variants`."""

    variants: dict[str, type]
    tag: str = "kind"


Share = Annotated[float, Range(0, 1)]
Positive = Annotated[int, Range(1)]
Count = Annotated[int, Range(0)]
Amount = Annotated[float, Range(0)]


class Refused(InputError):
    """A value at a dotted path of params.yaml that the schema does not accept."""

    def __init__(self, path: str, saw: object, expected: object) -> None:
        """Keep the path, so that the overlay which holds the value can be named instead."""
        self.path = path
        super().__init__(FILE, path, saw, expected)

    def __reduce__(self) -> tuple:
        return Refused, (self.path, self.saw, self.expected)


def read(hint: Any, value: Any, path: str) -> Any:
    """Return `value` as the type hint asks.

    Args:
        hint: a dataclass or any of the hints named at the top of this module.
        value: what the file holds at `path`.
        path: dotted path of the value, for messages.

    Raises:
        Refused: at the first value that does not fit, with its full path.
    """
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return read_dataclass(hint, value, path)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        reader = _read_tagged if isinstance(arguments[1], Tagged) else _read_range
        return reader(arguments, value, path)
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, value, path)
    if origin is Literal:
        if any(value == a and type(value) is type(a) for a in arguments):
            return value
        raise Refused(path, _show(value), one_of(arguments, value))
    if origin is list:
        if not isinstance(value, list):
            raise Refused(path, _show(value), "a list")
        return [read(arguments[0], v, f"{path}[{i}]") for i, v in enumerate(value)]
    if origin is tuple:
        if not isinstance(value, list) or len(value) != len(arguments):
            raise Refused(path, _show(value), f"a list of {len(arguments)}")
        pairs = zip(arguments, value, strict=True)
        return tuple(read(a, v, f"{path}[{i}]") for i, (a, v) in enumerate(pairs))
    if origin is dict:
        return _read_dict(arguments[1], value, path)
    return _read_plain(hint, value, path)


def read_dataclass(cls: type[T], value: Any, path: str) -> T:
    """Return the dataclass filled from a mapping; fields without a default are required."""
    if not isinstance(value, dict):
        raise Refused(path, _show(value), "a mapping")
    hints, required = _fields(cls)
    for key in value:
        if key not in hints:
            raise Refused(
                f"{path}.{key}" if path else str(key), "an unknown key", one_of(hints, key)
            )
    for key in required:
        if key not in value:
            raise Refused(f"{path}.{key}" if path else key, "nothing", _name(hints[key]))
    deeper = f"{path}." if path else ""
    return cls(**{k: read(hints[k], v, f"{deeper}{k}") for k, v in value.items()})


def one_of(choices: Iterable, saw: Any) -> str:
    """Return "one of a, b", the closest spelling first."""
    names = [_show(c) if isinstance(c, str) and not c.isidentifier() else str(c) for c in choices]
    close = difflib.get_close_matches(str(saw), names, n=1)
    if close:
        return f"{close[0]}, or one of {', '.join(n for n in names if n != close[0])}"
    return f"one of {', '.join(names)}"


@cache
def _fields(cls: type) -> tuple[dict[str, Any], tuple[str, ...]]:
    missing = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    hints = typing.get_type_hints(cls, include_extras=True)
    required = (f.name for f in fields if f.default is missing and f.default_factory is missing)
    return {f.name: hints[f.name] for f in fields}, tuple(required)


def _read_range(arguments: tuple, value: Any, path: str) -> Any:
    hint, limits = arguments
    number = read(hint, value, path)
    if not limits.low <= number <= limits.high:
        raise Refused(path, _show(value), f"{_name(hint)}, {limits}")
    return number


def _read_tagged(arguments: tuple, value: Any, path: str) -> Any:
    variants, tag = arguments[1].variants, arguments[1].tag
    if not isinstance(value, dict):
        raise Refused(path, _show(value), "a mapping")
    kind = value.get(tag)
    if not isinstance(kind, str) or kind not in variants:
        raise Refused(f"{path}.{tag}", _show(kind), one_of(variants, kind))
    return read_dataclass(variants[kind], value, path)


def _read_union(arguments: tuple, value: Any, path: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    options = [a for a in arguments if a is not type(None)]
    if len(options) == 1:
        return read(options[0], value, path)
    for option in options:
        try:
            return read(option, value, path)
        except Refused:
            continue
    raise Refused(path, _show(value), " or ".join(map(_name, arguments)))


def _read_dict(hint: Any, value: Any, path: str) -> dict:
    if not isinstance(value, dict):
        raise Refused(path, _show(value), "a mapping")
    for key in value:
        if not isinstance(key, str):
            raise Refused(f"{path}.{key}", f"the key {_show(key)}", "a name")
    return {k: read(hint, v, f"{path}.{k}") for k, v in value.items()}


def _read_plain(hint: Any, value: Any, path: str) -> Any:
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is hint:
        return value
    expected = _name(hint)
    if hint is float and isinstance(value, str):
        expected += " (YAML wants 1.0e-3 for 1e-3)"
    raise Refused(path, _show(value), expected)


def _show(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _name(hint: Any) -> str:
    """Name a type as a person would."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        if isinstance(arguments[1], Tagged):
            return "a mapping"
        return f"{_name(arguments[0])}, {arguments[1]}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_name, arguments))
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if dataclasses.is_dataclass(hint) or origin is dict:
        return "a mapping"
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
    return names.get(hint, "a list" if origin in (list, tuple) else "null")
