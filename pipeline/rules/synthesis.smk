# Motion capture, and labelled hands, to pairs of 2D joints and meshes.


rule mocap:
    input:
        f"{plan.listed}/amass.manifest.json",
    output:
        "data/mocap/mocap.h5",
    log:
        "logs/mocap.log",
    benchmark:
        "logs/benchmarks/mocap.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        settings=plan.settings("mocap"),
        code=plan.code("mocap"),
        raw=plan.raw,
    shell:
        "python -m pipeline mocap --raw {params.raw} --manifest {input}"
        " --settings {params.settings:q} --workers {threads} --out {output} > {log} 2>&1"


rule pairs:
    input:
        mocap="data/mocap/mocap.h5",
        body="data/body/smpl.npz",
    output:
        "data/pairs/{pairs}.h5",
    log:
        "logs/pairs/{pairs}.log",
    benchmark:
        "logs/benchmarks/pairs/{pairs}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        settings=plan.settings("pairs"),
        code=plan.code("pairs"),
    shell:
        "python -m pipeline pairs --mocap {input.mocap} --body {input.body}"
        " --settings {params.settings:q} --out {output} > {log} 2>&1"


rule hand_pairs:
    input:
        records=plan.pair_records,
        body="data/body/smpl.npz",
    output:
        "data/pairs/hands/{pairs}.h5",
    log:
        "logs/pairs/hands/{pairs}.log",
    benchmark:
        "logs/benchmarks/pairs/hands/{pairs}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        settings=plan.settings("hand_pairs"),
        code=plan.code("hand_pairs"),
        records=plan.pair_flags,
    shell:
        "python -m pipeline hand-pairs {params.records} --body {input.body}"
        " --settings {params.settings:q} --out {output} > {log} 2>&1"
