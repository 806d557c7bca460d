# Two commands on a fresh machine: `make table1`, `make test`. Both make the environment first.
PYTHON ?= python3
CORES  ?= all
VENV   ?= .venv
BIN    := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)

.PHONY: table1 tables test test-all lint report all clean status pull unlock dev lock watch

table1: $(VENV)/.ok
	$(SNAKEMAKE) -- results/table1.csv figures
	@cat results/table1.md

tables report all: $(VENV)/.ok
	$(SNAKEMAKE) -- $@

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m "not gpu and not licensed"

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile pipeline/rules
	$(BIN)/snakemake --lint

status: $(VENV)/.ok
	-$(BIN)/dvc status
	$(BIN)/snakemake -n

pull: $(VENV)/.ok
	$(BIN)/dvc pull
	$(BIN)/snakemake -n

unlock: $(VENV)/.ok
	$(BIN)/snakemake --unlock

watch:
	@find logs -name '*.log' -mmin -5 -exec sh -c 'printf "%s: " "$$1"; tail -n 1 "$$1"' _ {} \;

# Everything that the workflow makes, except what a user put under data/raw by hand.
clean:
	rm -rf .snakemake logs runs results checkpoints \
	  data/demo data/real data/body data/records data/mocap data/pairs data/iuv data/miniatures

$(VENV)/.ok: envs/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is $$($(PYTHON) --version), expected Python 3.11 or newer (make PYTHON=...)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r $<
	touch $@

$(VENV)/.test: $(VENV)/.ok envs/requirements-test.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check -r envs/requirements-test.txt
	touch $@

dev: $(VENV)/.test
	$(BIN)/python -m pip install -q --disable-pip-version-check -r envs/requirements-dev.in
	$(BIN)/pre-commit install

# Freeze the direct requirements with all they need; a local build's suffix (+cpu) is dropped.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install -q -r envs/requirements.in
	$(VENV)-lock/bin/python -m pip freeze | sed 's/+cpu//' > envs/requirements.txt
	rm -rf $(VENV)-lock
