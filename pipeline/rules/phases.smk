# One target for each stage of dvc.yaml, and the file by which DVC sees what changed.


rule versions:
    output:
        "versions.yaml",
    log:
        "logs/versions.log",
    benchmark:
        "logs/benchmarks/versions.tsv"
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        table=lambda wildcards: plan.table(
            {r.name: r.shellcmd or "" for r in workflow.rules}
        ),
    shell:
        "printf '%s\\n' {params.table:q} > {output} 2> {log}"


for phase in PHASES:

    rule:
        name:
            f"phase_{phase}"
        input:
            targets(plan.params, phase),
