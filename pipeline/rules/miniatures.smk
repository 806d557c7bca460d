# A few samples of every dataset, whatever the scale and source: made, converted, drawn.
# Nothing else reads them: `snakemake --cores 2 miniatures`.


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


rule miniatures:
    input:
        expand(
            "results/miniatures/contact_{records}.png",
            records=plan.miniatures.params.records,
        ),
