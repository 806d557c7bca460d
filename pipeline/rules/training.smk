# Runs: weights that others start from, and those that are evaluated.
# `told` holds every setting; `settings`, which Snakemake compares, only those that can change
# the outcome. Checkpoints lie outside the outputs, so that a killed training goes on.


rule pretrain:
    input:
        unpack(plan.training_inputs("pretrain")),
        body="data/body/smpl.npz",
    output:
        model="runs/pretrain/{run}/seed{seed}/model.pt",
        metrics="runs/pretrain/{run}/seed{seed}/metrics.json",
        history="runs/pretrain/{run}/seed{seed}/history.csv",
        settings="runs/pretrain/{run}/seed{seed}/settings.json",
    log:
        "logs/pretrain/{run}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/pretrain/{run}/seed{seed}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: plan.threads("pretrain")
    resources:
        passive=plan.passive("pretrain"),
        gpu=plan.gpus("pretrain"),
        mem_mb=8000,
        runtime=7 * 24 * 60,
    params:
        settings=plan.settings("pretrain"),
        code=plan.code("pretrain"),
        told=plan.told("pretrain"),
        files=plan.training_flags("pretrain"),
        checkpoints="checkpoints/pretrain/{run}/seed{seed}",
        out=subpath(output.model, parent=True),
    shell:
        "python -m pipeline.workflow.launch {resources.gpu} train --settings {params.told:q}"
        " --body {input.body} {params.files} --checkpoints {params.checkpoints}"
        " --threads {threads} --out {params.out} > {log} 2>&1"


use rule pretrain as finetune with:
    input:
        unpack(plan.training_inputs("finetune")),
        body="data/body/smpl.npz",
    output:
        model="runs/finetune/{run}/seed{seed}/model.pt",
        metrics="runs/finetune/{run}/seed{seed}/metrics.json",
        history="runs/finetune/{run}/seed{seed}/history.csv",
        settings="runs/finetune/{run}/seed{seed}/settings.json",
    log:
        "logs/finetune/{run}/seed{seed}.log",
    benchmark:
        "logs/benchmarks/finetune/{run}/seed{seed}.tsv"
    threads: plan.threads("finetune")
    resources:
        passive=plan.passive("finetune"),
        gpu=plan.gpus("finetune"),
        mem_mb=16000,
        runtime=7 * 24 * 60,
    params:
        settings=plan.settings("finetune"),
        code=plan.code("finetune"),
        told=plan.told("finetune"),
        files=plan.training_flags("finetune"),
        checkpoints="checkpoints/finetune/{run}/seed{seed}",
        out=subpath(output.model, parent=True),
