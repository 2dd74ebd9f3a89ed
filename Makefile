# Every target sets itself up. It takes Python 3.11 or newer with pip, and make; nothing else.
# With another Python, which gets a fresh environment:  make test PYTHON=python3.13

PYTHON ?= python3
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
PACKAGE := $(VENV)/package-by-$(subst /,-,$(PYTHON))
DEMO := $(VENV)/demo-by-$(subst /,-,$(PYTHON))
TOOLS := $(VENV)/tools-by-$(subst /,-,$(PYTHON))
RIVALS := $(VENV)/rivals-by-$(subst /,-,$(PYTHON))

# Tests start hundreds of processes: they find the code compiled, whatever the caller's rule is.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: help demo test serve bench faults lint docs prices clean

help:  ## list what there is
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(DEMO)  ## record real conversations through the service, kill it, check everything
	@$(BIN)/python -m examples.demo

test: lint  ## run every check and every test; pytest's verdict stands at the end
	$(BIN)/python -m behave --format progress features
	$(BIN)/robot --outputdir output --console dotted robot
	$(BIN)/pytest -n $(WORKERS) -m "not faults" --cov

serve: $(PACKAGE)  ## serve a SQLite file on http://127.0.0.1:8080, API described at /docs
	@$(BIN)/hansard serve --log-format text

bench: $(RIVALS)  ## measure, and write docs/benchmarks.md
	$(BIN)/python -m benchmarks

faults: $(TOOLS)  ## run the long fault suite: crashes, lost answers, full disks
	$(BIN)/pytest -m faults

lint: $(TOOLS)  ## style, types and floors
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(TOOLS)  ## write the generated parts of the documentation
	$(BIN)/python -m docs.generate

prices: $(TOOLS)  ## take the prices of the installed genai-prices, as of today
	$(BIN)/python -m prices.convert

clean:  ## remove what these targets made
	rm -rf $(VENV) demo-data output build dist .asv .nox
	rm -rf .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# A Python without ensurepip (Debian splits it off) lends its own pip to the environment.
# Version 25.1 is the first that installs dependency groups.
$(PACKAGE): pyproject.toml
	$(PYTHON) -m venv --clear $(VENV) || $(PYTHON) -m venv --clear --without-pip $(VENV)
	$(BIN)/python -m pip --version >/dev/null 2>&1 \
	  && $(BIN)/python -m pip install --quiet --upgrade "pip>=25.1" \
	  || $(PYTHON) -m pip --python $(BIN)/python install --quiet "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(DEMO): $(PACKAGE)
	$(BIN)/python -m pip install --quiet --group demo
	@touch $@

$(TOOLS): $(PACKAGE)
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(RIVALS): $(TOOLS)
	$(BIN)/python -m pip install --quiet --group bench
	@touch $@
