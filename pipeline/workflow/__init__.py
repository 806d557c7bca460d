"""What Snakemake and DVC need to know of the steps; every step itself is a verb of the package."""
