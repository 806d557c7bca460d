"""params.yaml: its schema, its overlays and the runs that it asks for.

Imports the standard library and yaml only, since the Snakefile does.
"""

from pipeline.params.resolve import Params, Run, load

__all__ = ["Params", "Run", "load"]
