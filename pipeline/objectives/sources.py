"""The files that a run learns from, by the names that its settings use."""

from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import InputError

VALIDATION = "validation"


@dataclass(frozen=True)
class Sources:
    """Paths as the command line gives them.

    Attributes:
        records: dataset and split -> records; `validation` -> those that weights are judged on.
        iuv: dataset and split -> rendered IUV.
        init: part of the network -> weights that it starts from.
        pairs: 2D joints and meshes.
    """

    records: dict[str, Path] = field(default_factory=dict)
    iuv: dict[str, Path] = field(default_factory=dict)
    init: dict[str, Path] = field(default_factory=dict)
    pairs: Path | None = None

    def files(self) -> dict[str, Path]:
        """Return every file by its role."""
        groups = {"records": self.records, "iuv": self.iuv, "init": self.init}
        found = {f"{group}.{name}": path for group, paths in groups.items()
                 for name, path in paths.items()}  # fmt: skip
        return found | ({"pairs": self.pairs} if self.pairs else {})


def named_paths(items: list[str], flag: str) -> dict[str, Path]:
    """Return {name: path} of NAME=PATH arguments.

    Raises:
        InputError: if one has no name, or two have the same.
    """
    paths: dict[str, Path] = {}
    for item in items:
        name, _, path = item.partition("=")
        if not name or not path:
            raise InputError(flag, "", item, "NAME=PATH")
        if name in paths:
            raise InputError(flag, name, "two paths", "one")
        paths[name] = Path(path)
    return paths
