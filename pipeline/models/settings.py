"""Reads the settings of a network into its typed dataclass, refusing what it does not know."""

import dataclasses
import types
import typing
from typing import Any, TypeVar

from pipeline.errors import InputError

T = TypeVar("T")


def read_settings(cls: type[T], settings: dict, where: str) -> T:
    """The dataclass `cls` filled from `settings`; absent keys take the field's default.

    Args:
        cls: a dataclass whose fields are plain values, lists, other dataclasses or dicts.
        settings: nested dict as it stands in params.yaml.
        where: name of this level in messages, e.g. `network` or `network.backbone`.

    Raises:
        InputError: for an unknown key, a missing key, a wrong type or a value outside the choices
            listed in the field's metadata.
    """
    if not isinstance(settings, dict):
        raise InputError(where, "settings", settings, "a mapping")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in settings:
        if key not in fields:
            raise InputError(where, str(key), "an unknown key", f"one of {', '.join(fields)}")
    hints = typing.get_type_hints(cls)
    values = {}
    for name, field in fields.items():
        if name in settings:
            values[name] = _convert(settings[name], hints[name], where, name)
            _check_choice(values[name], field, where)
        elif _required(field):
            raise InputError(where, name, "no value", f"a {hints[name]}")
    return cls(**values)


def choice(default: str, *others: str) -> Any:
    """A dataclass field that takes `default` or one of `others`."""
    return dataclasses.field(default=default, metadata={"choices": (default, *others)})


def _required(field: dataclasses.Field) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _check_choice(value: Any, field: dataclasses.Field, where: str) -> None:
    choices = field.metadata.get("choices")
    if choices and value is not None and value not in choices:
        raise InputError(where, field.name, repr(value), f"one of {', '.join(choices)}")


def _convert(value: Any, hint: Any, where: str, name: str) -> Any:
    """`value` as `hint` asks, with ints accepted where floats are expected."""
    if dataclasses.is_dataclass(hint):
        return read_settings(hint, value, f"{where}.{name}")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, arguments, where, name)
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise InputError(where, name, repr(value), "a list")
        return tuple(_convert(v, arguments[0], where, name) for v in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    kind = origin or hint
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise InputError(where, name, repr(value), f"a {kind.__name__}")
    return value


def _convert_union(value: Any, arguments: tuple, where: str, name: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    failure = None
    for hint in arguments:
        if hint is type(None):
            continue
        try:
            return _convert(value, hint, where, name)
        except InputError as error:
            failure = error
    raise failure
