"""`python -m pipeline VERB ...`: every step of the workflow by name.

Each verb is one module with `add_arguments(parser)` and `main(args)`; only the
module that was asked for is imported.
"""

import argparse
import ast
import errno
import importlib
import importlib.util
import os
import sys
import textwrap
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files import full_disk

VERBS = {
    "body-demo": "pipeline.body.open_body",
    "body": "pipeline.body.assets",
    "demo": "pipeline.demo.generate",
    "manifest": "pipeline.raw.manifest",
    "convert": "pipeline.convert.run",
    "mocap": "pipeline.synthesis.mocap",
    "pairs": "pipeline.synthesis.pairs",
    "hand-pairs": "pipeline.synthesis.hand_pairs",
    "iuv": "pipeline.rendering.iuv_stage",
    "train": "pipeline.train",
    "evaluate": "pipeline.evaluation.evaluate",
    "table": "pipeline.evaluation.tables",
    "claims": "pipeline.evaluation.claims",
    "figures": "pipeline.evaluation.figures",
    "contact-sheet": "pipeline.rendering.contact_sheet",
    "report": "pipeline.evaluation.report",
    "import-checkpoint": "pipeline.importing.verb",
    "predict": "pipeline.prediction.verb",
    "doctor": "pipeline.raw.doctor",
}


def summary() -> str:
    """One line a verb: what its module says first, read without importing it."""
    lines = []
    for verb, module in VERBS.items():
        source = Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
        first = ast.get_docstring(ast.parse(source)).split("\n")[0]
        text = textwrap.shorten(first.removeprefix(f"Verb `{verb}`: "), 78, placeholder=" ...")
        lines.append(f"{verb:18} {text[0].upper()}{text[1:]}")
    return "\n".join([*lines, "", "More about one: python -m pipeline VERB --help"])


def parse(argv: list[str]) -> tuple[object, argparse.Namespace]:
    """Return the verb's module and its parsed arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=summary() if argv[:1] in (["-h"], ["--help"]) else None,
    )
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="one of those below")
    verb = parser.parse_args(argv[:1]).verb
    module = importlib.import_module(VERBS[verb])
    own = argparse.ArgumentParser(prog=f"python -m pipeline {verb}", description=module.__doc__)
    module.add_arguments(own)
    return module, own.parse_args(argv[1:])


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return 0, or 1 after one line about what has to be put right."""
    module, args = parse(sys.argv[1:] if argv is None else argv)
    try:
        module.main(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(f"error: {full_disk(error.filename or os.getcwd())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
