# Each target does all the set-up that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What `make test` runs: a folder or file below tests/, such as pipeline/reading; everything if not given.
ROOM ?=

# Where Dagster keeps what it knows, and where its pages are; its checks leave nothing in anybody's home.
HOME_OF_DAGSTER := $(CURDIR)/.dagster
HOME_OF_CHECKS := $(CURDIR)/$(VENV)/dagster
ui: export DAGSTER_HOME := $(HOME_OF_DAGSTER)
check: export DAGSTER_HOME := $(HOME_OF_CHECKS)
PORT ?= 3000
# Told to keep nothing that Python compiles, each of many processes would compile all that it imports: Dagster in 4 s.
unexport PYTHONDONTWRITEBYTECODE
# Dagster names another command, which does not read workspace.yaml.
ui ui-demo: export PYTHONWARNINGS := ignore:Function `dev_command`

# `make storm`: the first seed, and for how long. `make month`: the seed, and how many days.
SEED ?= 1
MINUTES ?= 5
DAYS ?= 30

.PHONY: demo ui ui-demo test test-long check storm month bench sbom clean

demo: $(VENV)/.installed
	@umask 077; $(BIN)/rapidlake demo

ui: $(VENV)/.installed-ui $(HOME_OF_DAGSTER)/dagster.yaml
	@[ -f rapidlake.toml ] || [ -n "$$RAPIDPRO_URL" -a -n "$$RAPIDPRO_TOKEN$$RAPIDPRO_TOKEN_FILE" ] || \
		echo "Nothing is synced until RAPIDPRO_URL and RAPIDPRO_TOKEN are set; make ui-demo needs neither."
	@echo "Open http://127.0.0.1:$(PORT) in half a minute; Ctrl-C ends it."
	@umask 077; $(BIN)/dagster dev -w workspace.yaml --port $(PORT) --log-level warning

ui-demo: $(VENV)/.installed-ui
	@deploy/ui-demo.sh $(BIN) $(PORT)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal tests/$(ROOM)

test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --dist worksteal -m long tests/$(ROOM)

check: $(VENV)/.installed-dev $(HOME_OF_CHECKS)/dagster.yaml
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/dagster definitions validate -w workspace.yaml
	$(BIN)/dg check defs

storm: $(VENV)/.installed-dev
	$(BIN)/python -m tests.storm $(SEED) $(MINUTES)

month: $(VENV)/.installed-dev
	$(BIN)/python -m tests.month $(SEED) $(DAYS)

bench: $(VENV)/.installed-dev
	$(BIN)/python bench/api_to_lake.py
	$(BIN)/python bench/archives_to_lake.py
	$(BIN)/python bench/analysis.py

# The list is of what is installed in .venv now; what makes it is installed apart, so that it is not on it.
sbom: $(VENV)/.installed $(VENV)/sbom/.installed
	$(VENV)/sbom/bin/cyclonedx-py environment $(BIN)/python --output-reproducible -o sbom.json

clean:
	rm -rf $(VENV) demo-lake .dagster-demo

$(HOME_OF_DAGSTER)/dagster.yaml $(HOME_OF_CHECKS)/dagster.yaml: deploy/dagster.yaml | $(VENV)/.installed
	@umask 077; mkdir -p $(@D); cp $< $@

# Python compiles what it imports; pip would compile everything, which takes as long as all the rest.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Rapidlake needs Python 3.11 or later: run make PYTHON=python3.12 $(MAKECMDGOALS), for example."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable .
	@touch $@

$(VENV)/sbom/.installed: | $(VENV)/.installed
	$(PYTHON) -m venv $(VENV)/sbom
	$(VENV)/sbom/bin/pip install --quiet --disable-pip-version-check 'cyclonedx-bom==7.5.0'
	@touch $@

$(VENV)/.installed-ui: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[ui]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $@
