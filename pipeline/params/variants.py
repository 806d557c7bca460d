"""Every run that params.yaml defines or a table's row derives, each under one readable name."""

import copy
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipeline.body.part_of import part_of
from pipeline.params.overlay import merge, put, with_bases
from pipeline.params.reader import Refused, one_of
from pipeline.params.runs import WHOLE, influences, kinds, read_run, uses_iuv

GROUPS = ("pretrain", "finetune")
UNSAFE = re.compile(r"[^A-Za-z0-9_.+=-]+")


@dataclass(frozen=True)
class Run:
    """One training, apart from its seed.

    Attributes:
        group: pretrain or finetune.
        name: unique in its group, safe as a folder's name.
        settings: objective, network, init, data, loss, corruption, augmentation, training.
    """

    group: str
    name: str
    settings: dict

    @property
    def key(self) -> str:
        """`group/name`, by which settings and tables refer to the run."""
        return f"{self.group}/{self.name}"

    @cached_property
    def parents(self) -> dict[str, str]:
        """Part of the network -> `group/name` or `weights/file` that it starts from."""
        return {part: source for part, source in self.settings["init"].items() if source}

    @cached_property
    def records(self) -> list[str]:
        """`dataset_split` names that the run trains on; none where nothing is trained."""
        trained = self.settings["training"]["steps"] > 0
        return list(self.settings["data"].get("mixture", ())) if trained else []

    @property
    def validation(self) -> list[str]:
        """The `dataset_split` name that the run is judged on, if it names one."""
        name = self.settings["data"].get("validation")
        return [name] if name else []

    @property
    def iuv(self) -> list[str]:
        """`dataset_split` names whose rendered IUV the run learns from."""
        return self.records if uses_iuv(self.settings) else []

    @property
    def pairs(self) -> str | None:
        """Name of the synthetic pairs of bodies that the run trains on."""
        return self._pairs("body")

    @property
    def hand_pairs(self) -> str | None:
        """Name of the synthetic pairs of hands that the run trains on."""
        return self._pairs("hand")

    def _pairs(self, part: str) -> str | None:
        wanted = self.settings["training"]["steps"] > 0 and self.part == part
        return self.settings["data"].get("pairs") if wanted else None

    @property
    def part(self) -> str:
        """Whether the network is of the body or of a hand."""
        return part_of(self.settings["network"])

    @property
    def kinds(self) -> list[str]:
        """Kinds of the network and of those inside it."""
        return kinds(self.settings["network"])

    def at(self, seed: int) -> dict:
        """Return the settings of one training."""
        return {**self.settings, "seed": seed}


class Runs:
    """The runs by `group/name`; equal settings are one run under the first name."""

    def __init__(self, tree: dict) -> None:
        """Read the sections pretrain and finetune.

        Args:
            tree: the params with the overlays laid on; sections training and augmentation too.

        Raises:
            Refused: for a run that its objective's schema does not accept.
        """
        self._shared = {"training": tree["training"], "augmentation": tree["augmentation"]}
        self._trees: dict[str, dict] = {}  # with references to other runs' networks
        self._names: dict[str, str] = {}  # every name -> the name under which the run is known
        self._found: dict[str, Run] = {}
        for group in GROUPS:
            for name, entry in with_bases(tree[group], group).items():
                if UNSAFE.search(name) or not name:
                    raise Refused(f"{group}.{name}", repr(name), "letters, digits, _ + = -")
                self._trees[f"{group}/{name}"] = self._complete(entry)
        for key in self._trees:
            self._define(key, ())

    def __getitem__(self, key: str) -> Run:
        """Return the run known under `group/name`."""
        return self._found[self._names[key]]

    def __contains__(self, key: str) -> bool:
        """Tell whether there is a run of this name."""
        return key in self._names

    def __iter__(self):
        """Go through the distinct runs."""
        return iter(self._found.values())

    def variant(self, key: str, changes: dict[str, Any], path: str) -> Run:
        """Return the run with changes to its settings or to those of runs that it starts from.

        Args:
            key: `group/name` of the run to change.
            changes: dotted key -> value; `pretrain/mesh.loss.joints` changes the run
                pretrain/mesh and lets this one start from the changed one. A run that goes on
                with the whole network of another changes the network of both.
            path: of the changes in params.yaml, for messages.

        Raises:
            Refused: for a key that is not there, or a run that this one does not start from.
        """
        if not changes:
            return self[key]
        tree = copy.deepcopy(self._trees[key])
        own = {k: v for k, v in changes.items() if "/" not in k.partition(".")[0]}
        above = {k: v for k, v in changes.items() if k not in own} | _continued(tree, own)
        renamed = {ref: self._changed_parent(ref, above, path) for ref in _references(tree)}
        for change in above:
            if not any(parent != ref for ref, parent in renamed.items()):
                raise Refused(f"{path}.{change}", "a run that this one does not start from",
                              one_of(self._ancestors(key), change))  # fmt: skip
        tree = self._with_networks(_rename(tree, renamed), path)
        for dotted, value in own.items():
            put(tree, dotted, value, path)
        tree = self._with_networks(tree, path)
        group, _, base = key.partition("/")
        return self._register(group, base, tree, changes, path)

    def _changed_parent(self, ref: str, changes: dict, path: str) -> str:
        """Return the key of a parent run after the changes that concern it."""
        mine = {k[len(ref) + 1 :]: v for k, v in changes.items() if k.startswith(f"{ref}.")}
        above = {k: v for k, v in changes.items() if k.split(".")[0] in self._ancestors(ref)}
        return self.variant(ref, {**mine, **above}, path).key if mine or above else ref

    def _ancestors(self, key: str) -> list[str]:
        found: list[str] = []
        for ref in _references(self._trees.get(key, {})):
            found += [ref, *self._ancestors(ref)]
        return found

    def _complete(self, entry: dict) -> dict:
        """Return an entry over the sections that it shares with the others."""
        return merge({**self._shared, "init": {}}, entry)

    def _define(self, key: str, chain: tuple[str, ...]) -> Run:
        """Return a run of params.yaml, defining first those that it starts from."""
        if key in self._names:
            return self[key]
        path = key.replace("/", ".")
        if key in chain:
            raise Refused(path, f"the loop {' -> '.join((*chain, key))}", "a run that ends it")
        for ref in _references(self._trees[key]):
            if ref not in self._trees:
                raise Refused(path, f"a reference to {ref}", one_of(self._trees, ref))
            self._define(ref, (*chain, key))
        group, _, name = key.partition("/")
        return self._register(group, name, self._with_networks(self._trees[key], path), {}, path)

    def _with_networks(self, tree: dict, path: str) -> dict:
        """Return the tree with networks given as `group/name` replaced by that run's network."""

        def expand(node: Any) -> Any:
            if isinstance(node, dict):
                return {k: expand(v) for k, v in node.items()}
            if isinstance(node, str) and node.split("/")[0] in GROUPS and "/" in node:
                if node not in self._names:
                    raise Refused(f"{path}.network", f"a reference to {node}",
                                  one_of(self._names, node))  # fmt: skip
                return copy.deepcopy(self[node].settings["network"])
            return node

        return {**tree, "network": expand(tree.get("network"))}

    def _register(self, group: str, base: str, tree: dict, changes: dict, path: str) -> Run:
        """Return the run of these settings, known or new."""
        tree = _without_zero_shares(tree)
        read_run({**tree, "seed": 0}, path)
        self._check_parents(tree["init"], path)
        init = {p: self._names.get(s, s) for p, s in tree["init"].items() if s is not None}
        settings = {**tree, "init": init, "data": _drawn_from(tree["data"])}
        name = self._name(group, base, changes, settings)
        for run in self._found.values():
            if run.group == group and _same(run.settings, settings):
                self._names[f"{group}/{name}"] = run.key
                return run
        run = Run(group, name, settings)
        self._trees.setdefault(run.key, tree)
        self._names[run.key] = run.key
        self._found[run.key] = run
        return run

    def _check_parents(self, init: dict, path: str) -> None:
        for part, source in init.items():
            if source is not None and not source.startswith("weights/"):
                if source not in self._names:
                    choices = [*self._names, "weights/FILE", "null"]
                    raise Refused(f"{path}.init.{part}", repr(source), one_of(choices, source))

    def _name(self, group: str, base: str, changes: dict, settings: dict) -> str:
        """Return the shortest name of the changes that no other settings have."""
        for depth in (1, 2, 9):
            labels = [_label(key, value, depth) for key, value in changes.items()]
            name = "-".join([base, *labels])
            taken = self._names.get(f"{group}/{name}")
            if taken is None or _same(self._found[taken].settings, settings):
                return name
        digest = hashlib.sha256(json.dumps(influenced(settings), sort_keys=True).encode())
        return f"{base}-{digest.hexdigest()[:8]}"


def _without_zero_shares(tree: dict) -> dict:
    """Return a run that draws from no dataset whose share is 0: how one of a base is left out."""
    mixture = (tree.get("data") or {}).get("mixture")
    if not isinstance(mixture, dict) or all(mixture.values()):
        return tree
    kept = {name: share for name, share in mixture.items() if share != 0}
    return {**tree, "data": {**tree["data"], "mixture": kept}}


def influenced(settings: dict) -> dict:
    """Return what can change the outcome, the seed apart."""
    return influences({**settings, "seed": 0})


def _same(first: dict, second: dict) -> bool:
    return influenced(first) == influenced(second)


def _references(tree: dict) -> list[str]:
    """Return `group/name` of the runs that weights or networks are taken from, each once."""
    found: dict[str, None] = {}

    def visit(node: Any) -> None:
        if isinstance(node, dict):
            for value in node.values():
                visit(value)
        elif isinstance(node, str) and node.split("/")[0] in GROUPS and "/" in node:
            found[node] = None

    visit(tree.get("init"))
    visit(tree.get("network"))
    return list(found)


def _continued(tree: dict, changes: dict[str, Any]) -> dict[str, Any]:
    """Return changes of the network as those of the run whose whole network this one starts as."""
    source = tree.get("init", {}).get(WHOLE)
    if source is None or source.startswith("weights/"):
        return {}
    return {f"{source}.{key}": v for key, v in changes.items() if key.startswith("network.")}


def _drawn_from(data: dict) -> dict:
    """Return what a run learns from, without the records of which it takes a share of nothing."""
    if "mixture" not in data:
        return data
    return {**data, "mixture": {name: share for name, share in data["mixture"].items() if share}}


def _rename(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {k: _rename(v, names) for k, v in node.items()}
    return names.get(node, node) if isinstance(node, str) else node


def _label(key: str, value: Any, depth: int) -> str:
    """Return `key=value` with the last parts of the key, safe in a file's name."""
    text = {None: "none", True: "true", False: "false"}.get(value) if _plain(value) else None
    if isinstance(value, list):
        text = "x".join(map(str, value))
    if isinstance(value, dict):
        text = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
    text = text or str(value).rsplit("/", 1)[-1]
    return UNSAFE.sub("-", f"{'.'.join(key.split('.')[-depth:])}={text}"[:60])


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)
