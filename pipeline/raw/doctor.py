"""Verb `doctor`: what is there of the raw data, what is not, and where to get it.

One line a distribution: whether its files are there, which tables need it, where to register and
which layout is expected. Found means: every kind of file is there, the files that annotations
name are, and those looked at (a sample of images, all else) do not end early. Exits with 0 when
all that the chosen tables need is there, else with 1.
"""

import argparse
import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.body import official
from pipeline.errors import InputError
from pipeline.params import Params, load
from pipeline.params.overlay import read_file
from pipeline.params.reader import FILE, one_of
from pipeline.raw.folders import Folders
from pipeline.raw.intact import problem
from pipeline.raw.layouts import Needs, layout
from pipeline.raw.listings import LISTINGS, Counted, Listing
from pipeline.rendering.gl import LIBRARIES, why_unavailable
from pipeline.workflow import phases
from pipeline.workflow.launch import gpus

FOUND, INCOMPLETE, MISSING = "found", "incomplete", "missing"
GENDERED = ("pw3d", "ssp3d", "surreal")  # converters whose bodies are male and female
OF_HANDS = ("freihand", "complement")
ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".7z", ".rar")
SHOWN = 3  # absent files named of each distribution
BYTES_PER_PIXEL = 0.4  # of a stored crop, generously
SPARE = 2 << 30  # bytes for everything else
HEADER = ("data", "state", "needed by", "register at", "licence", "files")
WEIGHTS = {  # beginning of a file's name -> who publishes it, licence
    "resnet50-imagenet": ("torchvision", "BSD-3-Clause"),
    "pose_higher_hrnet": ("HigherHRNet", "MIT"),
    "res101_coco": ("MMPose", "Apache-2.0"),
}


@dataclass(frozen=True)
class Line:
    """One distribution.

    Attributes:
        name: its folder under data/raw.
        state: found, incomplete or missing.
        tables: those that need it.
        site, licence, files: as in `layouts`.
        absent: what is not there.
        wrong: which files are fewer than others of the distribution say, or damaged.
        packed: archives in its folder.
    """

    name: str
    state: str
    tables: list[str]
    site: str
    licence: str
    files: str
    absent: list[str]
    wrong: list[str]
    packed: list[str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("tables", nargs="*", help="tables to make; if none, the targets")
    parser.add_argument("--params", type=Path, default=Path(FILE))
    parser.add_argument("--raw", type=Path, default=Path("data/raw"))
    parser.add_argument("--source", help="look as if params.yaml said this source")


def main(args: argparse.Namespace) -> None:
    """Print the report.

    Raises:
        InputError: if something that the chosen tables need is not there.
    """
    config = read_file(args.params)
    params = load({**config, "source": args.source} if args.source else config)
    for table in args.tables:
        if table not in params.rows:
            raise InputError("doctor", "tables", repr(table), one_of(params.rows, table))
    tables = args.tables or params.targets
    lines = examine(params, tables, args.raw)
    print(as_text(lines))
    problems = [
        f"{line.name} {line.state}" for line in lines if line.tables and line.state != FOUND
    ]
    if params.tree["source"] == "demo":
        print("source: demo makes its own data; the tables need nothing of the above")
        problems = []
    problems += list(machine(params, tables))
    if problems:
        raise InputError("doctor", "", ", ".join(problems), f"what {', '.join(tables)} need")


def examine(params: Params, tables: list[str], raw: Path) -> list[Line]:
    """Return a line for each distribution that the parameters know."""
    asked = {table: _asked(params, table) for table in tables}
    lines = [_body(params, asked, raw / "body_models"), _amass(params, asked, raw / "amass")]
    weights = sorted({name for wants in asked.values() for name in wants.weights})
    for name in weights:
        users = [table for table, wants in asked.items() if name in wants.weights]
        needs = [(name.partition("/")[2],)]
        site, licence = _weights_site(name)
        lines.append(_line(name, users, needs, raw / "weights", site, licence, "one file"))
    for dataset, section in params.tree["data"]["datasets"].items():
        splits = {s for wants in asked.values() for d, s in wants.records if d == dataset}
        users = [t for t, wants in asked.items() if dataset in {d for d, _ in wants.records}]
        known, needs = layout(section["converter"]), []
        listings: list[Listing | Counted] = []
        for split in splits or section["splits"]:
            settings = {**section, **section["splits"][split]}
            if params.tree["source"] == "demo":
                settings.pop("expected", None)
            needs += known.needs(raw / dataset, settings)
            listings += LISTINGS[section["converter"]](raw / dataset, settings)
        texts = (known.site, known.licence, known.files)
        lines.append(_line(dataset, users, needs, raw / dataset, *texts, listings))
    return lines


def _weights_site(name: str) -> tuple[str, str]:
    """Return who publishes a file of weights and its licence, in words."""
    file = name.partition("/")[2]
    for start, site in WEIGHTS.items():
        if file.startswith(start):
            return site
    return "whoever trained them", "theirs"


@dataclass(frozen=True)
class _Wants:
    """What one table reads."""

    records: set[tuple[str, str]]  # (dataset, split)
    motions: bool
    weights: set[str]


def _asked(params: Params, table: str) -> _Wants:
    alone = dataclasses.replace(params, tree={**params.tree, "targets": [table]})
    runs = [params.runs[key] for key in phases.wanted(alone)]
    names = {name for run in runs for name in (*run.records, *run.validation)}
    columns = params.tree["tables"][table]["columns"]
    names |= {params.tree["evaluation"]["protocols"][c["protocol"]] for c in columns}
    records = {name.rpartition("_")[::2] for name in names}
    sources = {source for run in runs for source in run.parents.values()}
    weights = {source for source in sources if source.startswith("weights/")}
    return _Wants(records, bool(phases.used_pairs(alone)), weights)


def _line(
    name: str,
    tables: list[str],
    needs: Needs,
    raw: Path,
    site: str,
    licence: str,
    files: str,
    listings: Sequence[Listing | Counted] = (),
) -> Line:
    needs = list(dict.fromkeys(needs))
    absent = [" or ".join(one) for one in needs if not _there(raw, one)]
    wrong, state = [], MISSING
    if len(absent) < len(needs):
        folders = Folders(raw)
        wrong = list(dict.fromkeys(filter(None, map(folders.lacking, listings))))
        wrong += folders.damaged((pattern for one in needs for pattern in one), listings)
        state = INCOMPLETE if absent or wrong else FOUND
    return Line(name, state, tables, site, licence, files, absent, wrong, _packed(raw))


def _there(raw: Path, alternatives: tuple[str, ...]) -> bool:
    return any(next(raw.glob(pattern), None) for pattern in alternatives)


def _packed(raw: Path) -> list[str]:
    paths = sorted(raw.iterdir()) if raw.is_dir() else []
    found = {path.name: problem(path) for path in paths if path.name.endswith(ARCHIVES)}
    return [f"{name} is still packed" + (f" and {wrong}" if wrong else "")
            for name, wrong in found.items()]  # fmt: skip


def _body(params: Params, asked: dict[str, _Wants], raw: Path) -> Line:
    """Return the line of the body models: hands and genders only where they are needed."""
    sections = params.tree["data"]["datasets"]
    used = {sections[d]["converter"] for wants in asked.values() for d, _ in wants.records}
    kinds = ["neutral", "h36m", "coco", "extra", "mean", "atlas"]
    kinds += ["male", "female"] if used & {*GENDERED} else []
    kinds += ["mano_right", "mano_left"] if used & {*OF_HANDS} else []
    absent, wrong = [], []
    for kind in kinds:
        try:
            path = official.require(raw, kind)
            damage = problem(path)
            wrong += [f"{path.relative_to(raw)} {damage}"] if damage else []
        except InputError as error:
            absent.append(str(error.expected))
    state = MISSING if len(absent) == len(kinds) else INCOMPLETE if absent or wrong else FOUND
    files = "smpl/SMPL_{NEUTRAL,MALE,FEMALE}.pkl and others, see README; mano/MANO_*.pkl"
    return Line("body_models", state, list(asked), "SMPL, SMPLify, MANO", "non-commercial", files,
                absent, wrong, _packed(raw))  # fmt: skip


def _amass(params: Params, asked: dict[str, _Wants], raw: Path) -> Line:
    from pipeline.synthesis.amass_files import CANONICAL, RELEASES

    needs = []
    for dataset in params.tree["mocap"]["datasets"]:
        names = [alias for alias, name in CANONICAL.items() if name == dataset] or [dataset]
        needs.append(tuple(f"{name}/**/*{ending}" for name in names for ending in RELEASES))
    users = [table for table, wants in asked.items() if wants.motions]
    files = "<sub-dataset>/<subject>/*_poses.npz"
    return _line("amass", users, needs, raw, "AMASS", "non-commercial", files)


def as_text(lines: list[Line]) -> str:
    """Return the table, and below it what is absent of what some table needs or of half a set."""
    rows = [
        (line.name, line.state, " ".join(line.tables) or "-", line.site, line.licence, line.files)
        for line in lines
    ]
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (HEADER, tuple("-" * width for width in widths), *rows)
    ]
    for line in lines:
        if line.absent and (line.tables or line.state == INCOMPLETE):
            text.append(f"{line.name}: no {_some(line.absent, '; no ')}")
        if line.wrong:
            text.append(f"{line.name}: {_some(line.wrong, '; ')}")
        if line.state != FOUND and (line.tables or line.state == INCOMPLETE):
            text += [f"{line.name}: {name}" for name in line.packed]
    return "\n".join(text)


def _some(items: list[str], between: str) -> str:
    more = len(items) - SHOWN
    return between.join(items[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def machine(params: Params, tables: list[str]) -> Iterator[str]:
    """Print what this machine has; yield what it lacks."""
    found = gpus()
    print(f"GPU: {len(found)} found" if found else "GPU: none, training runs on the CPU")
    reason = why_unavailable()
    use = "only iuv.engine: pyrender needs it"
    print(f"OpenGL: not available ({use}): {reason}" if reason else f"OpenGL: found ({use})")
    if reason and params.tree["iuv"]["engine"] == "pyrender":
        yield f"no OpenGL ({LIBRARIES})"
    free, needed = shutil.disk_usage(Path.cwd()).free, _bytes_needed(params, tables)
    print(f"disk: {free / 2**30:.0f} GB free, about {needed / 2**30:.0f} GB needed")
    if free < needed:
        yield f"{free / 2**30:.1f} GB free on the disk"


def _bytes_needed(params: Params, tables: list[str]) -> int:
    """Return a rough size of the records that the tables read, and of all else."""
    data, count = params.tree["data"], 0
    if params.tree["source"] != "demo":
        pairs = {pair for table in tables for pair in _asked(params, table).records}
        splits = [data["datasets"][dataset]["splits"][split] for dataset, split in pairs]
        count = sum(split.get("expected", 0) for split in splits)
    return int(count * data["crop"]["size"] ** 2 * BYTES_PER_PIXEL) + SPARE
