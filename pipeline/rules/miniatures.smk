# A few samples of every dataset, whatever the scale and source: made, converted, drawn, and
# measured by every protocol, with the mean body or hand, or a network as initialised.
# Nothing else reads them: `snakemake --cores 2 miniatures`.
from pipeline.evaluation.protocols import PROTOCOLS
from pipeline.workflow.codehash import version


use rule demo as miniature_demo with:
    output:
        "data/miniatures/{dataset}.manifest.json",
    log:
        "logs/miniatures/{dataset}.log",
    benchmark:
        "logs/benchmarks/miniatures/{dataset}.tsv"
    params:
        settings=plan.miniatures.settings("demo"),
        code=plan.miniatures.code("demo"),
        raw=subpath(output[0], strip_suffix=".manifest.json"),


use rule convert as miniature_records with:
    input:
        manifest="data/miniatures/{dataset}.manifest.json",
        body="data/body/smpl.npz",
    output:
        "data/miniatures/records/{dataset}_{split}.h5",
    log:
        "logs/miniatures/records/{dataset}_{split}.log",
    benchmark:
        "logs/benchmarks/miniatures/records/{dataset}_{split}.tsv"
    params:
        settings=plan.miniatures.settings("convert"),
        code=plan.miniatures.code("convert"),
        raw=subpath(input.manifest, strip_suffix=".manifest.json"),
        partial="--allow-partial",


rule miniature_sheet:
    input:
        records="data/miniatures/records/{dataset}_{split}.h5",
        body="data/body/smpl.npz",
    output:
        "results/miniatures/contact_{dataset}_{split}.png",
    log:
        "logs/miniatures/contact_{dataset}_{split}.log",
    benchmark:
        "logs/benchmarks/miniatures/contact_{dataset}_{split}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=plan.miniatures.code("contact_sheet"),
    shell:
        "python -m pipeline contact-sheet --records {input.records} --body {input.body}"
        " --count 6 --out {output} > {log} 2>&1"


use rule finetune as miniature_run with:
    input:
        body="data/body/smpl.npz",
    output:
        model="data/miniatures/runs/{run}/seed{seed}/model.pt",
        metrics="data/miniatures/runs/{run}/seed{seed}/metrics.json",
        history="data/miniatures/runs/{run}/seed{seed}/history.csv",
        settings="data/miniatures/runs/{run}/seed{seed}/settings.json",
    log:
        "logs/miniatures/runs/{run}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/miniatures/runs/{run}/seed{seed}.tsv"
    threads: 1
    resources:
        passive=plan.miniatures.passive("finetune"),
        gpu=0,
        mem_mb=2000,
        runtime=10,
    params:
        settings=plan.miniatures.settings("finetune"),
        code=plan.miniatures.code("finetune"),
        told=plan.miniatures.told("finetune"),
        files="",
        checkpoints="checkpoints/miniatures/{run}/seed{seed}",
        out=subpath(output.model, parent=True),


use rule evaluate as miniature_protocol with:
    input:
        unpack(plan.miniatures.miniature_protocol),
        body="data/body/smpl.npz",
    output:
        "results/miniatures/{protocol}.json",
    log:
        "logs/miniatures/{protocol}.log",
    benchmark:
        "logs/benchmarks/miniatures/{protocol}.tsv"
    threads: 1
    resources:
        gpu=0,
        mem_mb=4000,
        runtime=10,
    params:
        settings=plan.miniatures.on_miniatures(plan.miniatures.settings("evaluate")),
        code=plan.miniatures.on_miniatures(plan.miniatures.code("evaluate")),
        files=lambda wildcards, input: (
            f"--raw {input.manifest.removesuffix('.manifest.json')}"
            if "manifest" in input.keys()
            else ""
        ),


rule miniature_protocols:
    input:
        expand("results/miniatures/{protocol}.json", protocol=PROTOCOLS),
    output:
        "results/miniatures/protocols.csv",
    log:
        "logs/miniatures/protocols.log",
    benchmark:
        "logs/benchmarks/miniatures/protocols.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        code=version("pipeline.evaluation.listing"),
    shell:
        "python -m pipeline.evaluation.listing {input} --out {output} > {log} 2>&1"


rule miniatures:
    input:
        expand(
            "results/miniatures/contact_{records}.png",
            records=plan.miniatures.params.records,
        ),
        "results/miniatures/protocols.csv",
