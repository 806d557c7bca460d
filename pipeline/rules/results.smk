# Trained runs to metrics, tables, pictures and the report.


rule evaluate:
    input:
        unpack(plan.protocol_inputs),
        weights="runs/finetune/{run}/seed{seed}/model.pt",
        body="data/body/smpl.npz",
    output:
        "results/metrics/{run}/seed{seed}/{protocol}.json",
    log:
        "logs/evaluate/{run}/seed{seed}/{protocol}.log",
    benchmark:
        "logs/benchmarks/evaluate/{run}/seed{seed}/{protocol}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: plan.params.tree["training"]["threads"]
    resources:
        gpu=plan.gpu,
        mem_mb=8000,
        runtime=120,
    params:
        settings=plan.settings("evaluate"),
        code=plan.code("evaluate"),
        files=plan.protocol_flags,
    shell:
        "python -m pipeline.workflow.launch {resources.gpu} evaluate"
        " --settings {params.settings:q} --weights {input.weights} --records {input.records}"
        " --body {input.body} {params.files} --out {output} > {log} 2>&1"


rule table:
    input:
        metrics=plan.table_metrics,
        references=plan.table_references,
    output:
        csv="results/{table}.csv",
        markdown="results/{table}.md",
        summary="results/summary/{table}.json",
    log:
        "logs/table/{table}.log",
    benchmark:
        "logs/benchmarks/table/{table}.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        settings=plan.settings("table"),
        code=plan.code("table"),
    shell:
        "python -m pipeline table --settings {params.settings:q} --metrics {input.metrics}"
        " --out {output.csv} --summary {output.summary} > {log} 2>&1"


rule claims:
    input:
        metrics=plan.table_metrics,
    output:
        csv="results/{table}.claims.csv",
        markdown="results/{table}.claims.md",
    log:
        "logs/claims/{table}.log",
    benchmark:
        "logs/benchmarks/claims/{table}.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        settings=plan.settings("claims"),
        code=plan.code("claims"),
    shell:
        "python -m pipeline claims --settings {params.settings:q} --metrics {input.metrics}"
        " --out {output.csv} > {log} 2>&1"


rule tables:
    input:
        expand("results/{table}.csv", table=plan.params.tree["tables"]),


rule metrics:
    input:
        expand("results/summary/{table}.json", table=plan.params.targets),
    output:
        "results/metrics.json",
    log:
        "logs/metrics.log",
    benchmark:
        "logs/benchmarks/metrics.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        code=plan.code("metrics"),
        tables=expand("{table}=results/summary/{table}.json", table=plan.params.targets),
    shell:
        "python -m pipeline.workflow.summary {params.tables} --out {output} > {log} 2>&1"


rule curves:
    input:
        plan.drawn("curves", "runs/finetune/{run}/seed{seed}/history.csv"),
    output:
        "results/figures/curves.png",
    log:
        "logs/figures/curves.log",
    benchmark:
        "logs/benchmarks/figures/curves.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=plan.settings("curves"),
        code=plan.code("curves"),
        history=plan.drawn(
            "curves", "{run}/seed{seed}=runs/finetune/{run}/seed{seed}/history.csv"
        ),
    shell:
        "python -m pipeline figures curves --history {params.history} --out {output} > {log} 2>&1"


rule finetuning:
    input:
        plan.finetuned("runs/finetune/{run}/seed{seed}/metrics.json"),
    output:
        "results/figures/mpt_finetuning.png",
    log:
        "logs/figures/finetuning.log",
    benchmark:
        "logs/benchmarks/figures/finetuning.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=plan.settings("finetuning"),
        code=plan.code("finetuning"),
    shell:
        "python -m pipeline figures finetuning --settings {params.settings:q}"
        " --metrics {input} --out {output} > {log} 2>&1"


rule views:
    output:
        "results/figures/virtual_views.png",
    log:
        "logs/figures/virtual_views.log",
    benchmark:
        "logs/benchmarks/figures/virtual_views.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=plan.settings("views"),
        code=plan.code("views"),
    shell:
        "python -m pipeline figures views --settings {params.settings:q}"
        " --out {output} > {log} 2>&1"


rule overlays:
    input:
        weights=plan.overlaid("runs/finetune/{run}/seed{seed}/model.pt"),
        metrics=plan.overlaid("results/metrics/{run}/seed{seed}/{protocol}.json"),
        records=plan.protocol_records,
        body="data/body/smpl.npz",
    output:
        "results/figures/overlays.png",
    log:
        "logs/figures/overlays.log",
    benchmark:
        "logs/benchmarks/figures/overlays.tsv"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=plan.settings("overlays"),
        code=plan.code("overlays"),
        weights=plan.overlaid("{run}=runs/finetune/{run}/seed{seed}/model.pt"),
        metrics=plan.overlaid("{run}=results/metrics/{run}/seed{seed}/{protocol}.json"),
    shell:
        "python -m pipeline figures overlays --settings {params.settings:q}"
        " --weights {params.weights} --metrics {params.metrics} --records {input.records}"
        " --body {input.body} --out {output} > {log} 2>&1"


rule inside:
    input:
        unpack(plan.inside_inputs),
    output:
        "results/figures/{kind}_{run}.png",
    log:
        "logs/figures/{kind}_{run}.log",
    benchmark:
        "logs/benchmarks/figures/{kind}_{run}.tsv"
    wildcard_constraints:
        kind="iterations|iuv|features",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        settings=plan.settings("inside"),
        code=plan.code("inside"),
        files=plan.inside_flags,
    shell:
        "python -m pipeline figures inside --settings {params.settings:q} {params.files}"
        " --out {output} > {log} 2>&1"


rule contact_sheet:
    input:
        records="data/records/{records}.h5",
        iuv="data/iuv/{records}.h5",
        body="data/body/smpl.npz",
    output:
        "results/figures/contact_{records}.png",
    log:
        "logs/figures/contact_{records}.log",
    benchmark:
        "logs/benchmarks/figures/contact_{records}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        code=plan.code("contact_sheet"),
    shell:
        "python -m pipeline contact-sheet --records {input.records} --iuv {input.iuv}"
        " --body {input.body} --out {output} > {log} 2>&1"


rule figures:
    input:
        figures(plan.params),


rule report:
    input:
        tables=expand("results/{table}.csv", table=plan.params.targets),
        figures=figures(plan.params),
    output:
        "results/report.html",
    log:
        "logs/report.log",
    benchmark:
        "logs/benchmarks/report.tsv"
    localrule: True
    conda:
        "../../envs/report.yaml"
    params:
        settings=plan.settings("report"),
        code=plan.code("report"),
        tables=expand("{table}=results/{table}.csv", table=plan.params.targets),
    shell:
        "python -m pipeline report --settings {params.settings:q} --tables {params.tables}"
        " --figures {input.figures} --out {output} > {log} 2>&1"
