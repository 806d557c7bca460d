"""Trees laid over one another: the source, the scale, a base, a row's changes."""

import copy
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import InputError
from pipeline.params.reader import FILE, Refused, one_of


def merge(below: Any, above: Any) -> Any:
    """Return `above` laid over `below`: mappings are merged key by key, all else is replaced."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return copy.deepcopy(above)
    merged = copy.deepcopy(below)
    for key, value in above.items():
        merged[key] = merge(merged.get(key), value)
    return merged


def put(tree: dict, dotted: str, value: Any, path: str) -> None:
    """Set the value at a dotted path whose parent has to be there.

    Raises:
        Refused: if a part of the path does not lead to a mapping.
    """
    *parents, last = dotted.split(".")
    node = tree
    for part in parents:
        if not isinstance(node.get(part), dict):
            choices = [k for k, v in node.items() if isinstance(v, dict)]
            raise Refused(f"{path}.{dotted}", f"no settings {part!r}", one_of(choices, part))
        node = node[part]
    node[last] = merge(node.get(last), value)


def with_bases(entries: Any, path: str) -> dict[str, dict]:
    """Return the entries with those that name a `base` laid over it.

    Raises:
        Refused: for a base that is missing or leads back to itself.
    """
    if not isinstance(entries, dict):
        raise Refused(path, type(entries).__name__, "a mapping of named runs")
    done: dict[str, dict] = {}

    def resolve(name: str, chain: tuple[str, ...]) -> dict:
        if name in done:
            return done[name]
        entry = entries[name]
        if not isinstance(entry, dict):
            raise Refused(f"{path}.{name}", repr(entry), "the settings of a run")
        if "base" in entry:
            base = entry["base"]
            if base not in entries:
                raise Refused(f"{path}.{name}.base", repr(base), one_of(entries, base))
            if base in (*chain, name):
                loop = " -> ".join((*chain, name, base))
                raise Refused(f"{path}.{name}.base", f"the loop {loop}", "a run that ends it")
            below = resolve(base, (*chain, name))
            entry = merge(below, {k: v for k, v in entry.items() if k != "base"})
        done[name] = entry
        return entry

    return {name: resolve(name, ()) for name in entries}


class _Loader(yaml.SafeLoader):
    """Refuses keys that stand twice in a mapping, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Return the mapping of a node whose keys are all different."""
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                place = f"line {key.start_mark.line + 1}"
                raise InputError(
                    self.name, place, f"the key {name!r} a second time", "one of them"
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_file(path: Path | str = FILE) -> dict:
    """Return a params file as plain values.

    Raises:
        InputError: if it is missing, is not YAML, or a key stands twice in a mapping.
    """
    try:
        with open(path, encoding="utf-8") as file:
            tree = yaml.load(file, _Loader)  # noqa: S506 a SafeLoader
    except FileNotFoundError:
        raise InputError(path, "", "no such file", "the parameters of the workflow") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(path, place, problem, "YAML") from None
    if not isinstance(tree, dict):
        raise InputError(path, "", type(tree).__name__, "a mapping of sections")
    return tree
