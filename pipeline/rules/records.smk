# Raw distributions to records of one schema, and IUV rendered for them.


rule convert:
    input:
        manifest=f"{plan.listed}/{{dataset}}.manifest.json",
        body="data/body/smpl.npz",
    output:
        "data/records/{dataset}_{split}.h5",
    log:
        "logs/convert/{dataset}_{split}.log",
    benchmark:
        "logs/benchmarks/convert/{dataset}_{split}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=24 * 60,
    params:
        settings=plan.settings("convert"),
        code=plan.code("convert"),
        raw=plan.raw,
        partial="--allow-partial" if plan.params.tree["source"] == "demo" else "",
    shell:
        "python -m pipeline convert {wildcards.dataset} --split {wildcards.split}"
        " --raw {params.raw} --body {input.body} --settings {params.settings:q}"
        " --workers {threads} {params.partial} --out {output} > {log} 2>&1"


rule iuv:
    input:
        records="data/records/{records}.h5",
        body="data/body/smpl.npz",
    output:
        "data/iuv/{records}.h5",
    log:
        "logs/iuv/{records}.log",
    benchmark:
        "logs/benchmarks/iuv/{records}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=12 * 60,
    params:
        settings=plan.settings("iuv"),
        code=plan.code("iuv"),
    shell:
        "python -m pipeline iuv --records {input.records} --body {input.body}"
        " --settings {params.settings:q} --workers {threads} --out {output} > {log} 2>&1"
