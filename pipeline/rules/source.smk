# Who provides the raw data: the open body and demo data, or the files that the user put in place.


rule body_demo:
    input:
        "pipeline/assets/open_body.npz",
    output:
        "data/demo/body_models.manifest.json",
    log:
        "logs/body_demo.log",
    benchmark:
        "logs/benchmarks/body_demo.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        code=plan.code("body_demo"),
        raw=subpath(output[0], strip_suffix=".manifest.json"),
    shell:
        "(python -m pipeline body-demo --out {params.raw} && python -m pipeline manifest"
        " body_models --raw {params.raw} --out {output}) > {log} 2>&1"


rule body:
    input:
        f"{plan.listed}/body_models.manifest.json",
    output:
        "data/body/smpl.npz",
    log:
        "logs/body.log",
    benchmark:
        "logs/benchmarks/body.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=plan.settings("body"),
        code=plan.code("body"),
        raw=plan.raw,
    shell:
        "python -m pipeline body --raw {params.raw} --settings {params.settings:q}"
        " --out {output} > {log} 2>&1"


rule demo:
    input:
        body="data/body/smpl.npz",
    output:
        "data/demo/{dataset}.manifest.json",
    log:
        "logs/demo/{dataset}.log",
    benchmark:
        "logs/benchmarks/demo/{dataset}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        settings=plan.settings("demo"),
        code=plan.code("demo"),
        raw=subpath(output[0], strip_suffix=".manifest.json"),
    shell:
        "python -m pipeline demo {wildcards.dataset} --body {input.body}"
        " --settings {params.settings:q} --workers {threads} --out {params.raw}"
        " --manifest {output} > {log} 2>&1"


rule manifest:
    output:
        "data/real/{dataset}.manifest.json",
    log:
        "logs/manifest/{dataset}.log",
    benchmark:
        "logs/benchmarks/manifest/{dataset}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=1000,
        runtime=240,
    params:
        code=plan.code("manifest"),
        raw="data/raw/{dataset}",
    shell:
        "python -m pipeline manifest {wildcards.dataset} --raw {params.raw} --out {output}"
        " > {log} 2>&1"
