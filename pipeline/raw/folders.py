"""What lies below a raw folder, against what should."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from pipeline.raw.intact import problem
from pipeline.raw.listings import Counted, Listing

LOOKED_AT = 64  # files of a pattern or listing whose ends are looked at


class Folders:
    """What lies below a raw folder, each folder read once."""

    def __init__(self, raw: Path) -> None:
        self.raw = raw
        self._names: dict[str, set[str]] = {}

    def lacking(self, listed: Listing | Counted) -> str | None:
        """Return in words which of the files are not there, None where all are."""
        if isinstance(listed, Counted):
            seen = sum(1 for pattern in listed.patterns for _ in self.raw.glob(pattern))
            if seen >= listed.count:
                return None
            return f"{seen} files {listed.patterns[0]}, {listed.count} by {listed.source}"
        if listed.anywhere:
            there = self._below(listed.anywhere)
            absent = [name for name in listed.names if name not in there]
        else:
            absent = [name for name in listed.names if not self._holds(name)]
        if not absent:
            return None
        count = f"{len(absent)} of {len(listed.names)} files named by {listed.source}"
        return f"{count} not there, such as {absent[0]}"

    def _holds(self, name: str) -> bool:
        folder, _, file = name.rpartition("/")
        if folder not in self._names:
            path = self.raw / folder
            self._names[folder] = {p.name for p in path.iterdir()} if path.is_dir() else set()
        return file in self._names[folder]

    def _below(self, folder: str) -> set[str]:
        key = f"{folder}/**"
        if key not in self._names:
            self._names[key] = {path.name for path in (self.raw / folder).rglob("*.*")}
        return self._names[key]

    def damaged(
        self, patterns: Iterable[str], listings: Iterable[Listing | Counted]
    ) -> Iterator[str]:
        """Yield in words what is wrong with some files of each pattern and listing."""
        chosen: dict[Path, None] = {}
        for pattern in patterns:
            chosen |= dict.fromkeys(islice(self.raw.glob(pattern), LOOKED_AT))
        for listed in listings:
            names = listed.names if isinstance(listed, Listing) and not listed.anywhere else ()
            step = max(1, len(names) // LOOKED_AT)
            chosen |= dict.fromkeys(self.raw / name for name in names[::step])
        for path in chosen:
            wrong = problem(path) if path.is_file() else None
            if wrong:
                yield f"{path.relative_to(self.raw)} {wrong}"
