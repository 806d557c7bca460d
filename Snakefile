# From raw data to the tables of three papers: `snakemake --cores 8 results/table1.csv`.
# What each job depends on is in params.yaml; what it does, in the verbs of `python -m pipeline`.
import sys

from snakemake.utils import min_version

min_version("9.0")


sys.path.insert(0, workflow.basedir)

from pipeline.workflow.phases import PHASES, figures, targets
from pipeline.workflow.plan import check_file, open_plan

if workflow.is_main_process:
    check_file()


configfile: "params.yaml"


plan = open_plan(config, workflow.is_main_process)


wildcard_constraints:
    dataset="[A-Za-z0-9_]+",
    split="[A-Za-z0-9]+",
    records="[A-Za-z0-9_]+",
    pairs="[A-Za-z0-9_]+",
    run="[A-Za-z0-9_.+=-]+",
    seed="[0-9]+",
    protocol="[A-Za-z0-9_]+",
    table="(?!miniatures/)[A-Za-z0-9_]+(/[A-Za-z0-9_]+)?",


include: "pipeline/rules/source.smk"
include: "pipeline/rules/records.smk"
include: "pipeline/rules/synthesis.smk"
include: "pipeline/rules/training.smk"
include: "pipeline/rules/results.smk"
include: "pipeline/rules/miniatures.smk"
include: "pipeline/rules/phases.smk"


rule all:
    default_target: True
    input:
        targets(plan.params, "results"),
