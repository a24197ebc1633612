# Each target sets up what it needs in a virtual environment. It is set up again when setup.cfg changes.
#
#   make test PYTHON=python3.12        another Python, with its own environment (.venv-3.12)
#   make test ARGS="-k heartbeat -x"   arguments for pytest (or the demo, or the benchmarks)
#   make environment                   what `make test` does before the tests

PYTHON ?= python3
ifeq ($(origin PYTHON),file)
VENV ?= .venv
else
VENV ?= .venv-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
endif
ARGS ?=
# The tests wait more than they compute: twice as many processes as processors.
PROCESSES ?= $(shell $(PYTHON) -c 'import os; print(2 * (os.cpu_count() or 1))' 2>/dev/null)
OCPP ?= 1.6

RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check -qq

.PHONY: help demo environment test bench figures lint format types docs pages wheel package release generate clean

help:
	@echo "make demo      a charging session between a charge point and a central system, message by message"
	@echo "make test      all tests"
	@echo "make lint      ruff: rules and format            make types      mypy --strict"
	@echo "make format    let ruff put right what it can    make generate   write the OCPP message modules anew"
	@echo "make bench     all benchmarks, beside the peers: an hour or so; ARGS=--brief for twenty minutes,"
	@echo "               ARGS=--quick for rough figures   make figures    those of README.md, from RESULTS.md"
	@echo "make docs      the site of docs/, in build/site  make package    dist/*: source and wheel, checked"
	@echo "make pages     the tables and diagrams of docs/, from the code and the texts beside them"
	@echo "make release VERSION=1.0.0      check everything, set the version and the tag, build"
	@echo "make wheel     dist/*.whl                        make clean      remove everything that make made"

demo: $(VENV)/.ready-run
	@$(RUN) tools/demo.py $(ARGS)

environment: $(VENV)/.ready-test

# First many at once, then the tests that need the machine for themselves. Exit code 5: no test was selected.
test: $(VENV)/.ready-test
	@$(RUN) -m pytest -n $(PROCESSES) --dist worksteal -m "not alone" $(ARGS); crowd=$$?; \
	$(RUN) -m pytest -m alone $(ARGS); alone=$$?; \
	case "$$crowd $$alone" in "0 0"|"0 5"|"5 0") ;; *) exit 1 ;; esac

bench: $(VENV)/.ready-bench
	$(RUN) benchmarks/run_all.py $(ARGS)

figures: $(VENV)/.ready-bench
	$(RUN) benchmarks/figures.py

lint: $(VENV)/.ready-dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: $(VENV)/.ready-dev
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

types: $(VENV)/.ready-dev
	@$(RUN) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "mypy needs Python 3.10 or newer: make types PYTHON=...")'
	$(RUN) -m mypy
	@PATH="$(abspath $(VENV))/bin:$$PATH" PYTHONPATH="$(CURDIR)" $(RUN) -m pyright --verifytypes ocppj --ignoreexternal \
		>$(VENV)/verifytypes.log || { grep -v "^   ocppj" $(VENV)/verifytypes.log; exit 1; }
	@grep "^Type completeness" $(VENV)/verifytypes.log

docs: $(VENV)/.ready-docs
	$(RUN) -m sphinx -q -W --keep-going -b html docs build/site
	@echo "build/site/index.html"

pages: $(VENV)/.ready-run
	$(RUN) tools/reference.py
	$(RUN) tools/diagrams.py

wheel: $(VENV)/.ready-dev
	rm -rf build dist
	$(RUN) -m build --wheel --outdir dist . >$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	@ls dist/*.whl

# Small schemas of several messages are equal (W002), and PyInstaller wants a name with a hyphen (W004). The project has no
# public address yet (see setup.cfg). It has all its settings in setup.cfg, and no second file for them.
package: $(VENV)/.ready-dev
	rm -rf build dist
	$(RUN) -m build --outdir dist . >$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	$(VENV)/bin/twine check --strict dist/*
	$(VENV)/bin/check-wheel-contents --ignore W002,W004 dist/*.whl
	$(VENV)/bin/pyroma --quiet --min 10 --skip-tests AuthorEmail,Url,MissingBuildSystem,MissingPyProjectToml dist/*.tar.gz
	@ls dist/*

release: $(VENV)/.ready-dev
	$(RUN) tools/release.py $(VERSION) $(ARGS)

generate: $(VENV)/.ready-dev
	$(RUN) tools/generate.py $(OCPP)

clean:
	rm -rf .venv .venv-* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A Python that cannot make an environment prints its own error (on Debian: install python3-venv).
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 9) and "ocppj needs Python 3.9 or newer; $(PYTHON) is %d.%d. Name another one: make ... PYTHON=python3.11" % v[:2])'
	@echo "Setting up $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }
	@touch $@

$(VENV)/.ready-run: $(VENV)/.made setup.cfg setup.py
	@$(PIP) install -e .
	@touch $@

$(VENV)/.ready-test: $(VENV)/.made setup.cfg setup.py
	@$(PIP) install -e '.[test]'
	@touch $(VENV)/.ready-run $@

$(VENV)/.ready-dev: $(VENV)/.made setup.cfg setup.py
	@$(PIP) install -e '.[test,dev]'
	@touch $(VENV)/.ready-run $(VENV)/.ready-test $@

$(VENV)/.ready-docs: $(VENV)/.made setup.cfg setup.py
	@$(PIP) install -e '.[docs]'
	@touch $(VENV)/.ready-run $@

$(VENV)/.ready-bench: $(VENV)/.made setup.cfg setup.py
	@$(PIP) install -e '.[fast,bench]'
	@touch $(VENV)/.ready-run $@
