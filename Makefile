# make demo   set up, make a synthetic crawl, run everything on it, write the report
# make test   set up, run the tests, in as many processes as there are cores
# make check  set up, lint, types, tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_FLAGS ?= --numprocesses=logical --maxprocesses=8 --dist=worksteal

.PHONY: demo test check lint types clean
demo: $(VENV)/ready
	$(BIN)/textmill demo

test: $(VENV)/ready
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

check: lint types test

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[train,dev]'
	touch $@

clean:
	rm -rf $(VENV) build textmill.egg-info
