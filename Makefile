# make demo    open the quickstart in JupyterLab          make check   ruff, mypy, tsc
# make test    run every test, the browser's included     make bench   the benchmarks
# make bundle  build the page from js/                    make clean   forget what was built

# Another browser: make demo BROWSER=firefox. No browser: make demo DEMO_ARGS=--no-browser
PYTHON ?= python3
VENV ?= .venv
PIP_ARGS ?=
DEMO_ARGS ?=
PYTEST_ARGS ?=
PROCESSES ?= 2

BIN := $(VENV)/bin
DEMO_READY := $(VENV)/.demo-ready
DEV_READY := $(VENV)/.dev-ready
JS_READY := js/node_modules/.ready
NEED := .ci/need

# Jupyter refuses to serve a superuser unless told: containers often have no other user.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: demo test test-js check format bundle bench clean

demo: $(DEMO_READY)
	$(BIN)/python -m jupyterlab notebooks/01_quickstart.ipynb $(AS_ROOT) $(DEMO_ARGS)

test: $(DEV_READY) $(JS_READY)
	$(NEED) chromium
	cd js && npm test --silent
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile $(PYTEST_ARGS)

check: $(DEV_READY) $(JS_READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	cd js && npm run check --silent

format: $(DEV_READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bundle: $(JS_READY)
	cd js && npm run build --silent

bench: $(DEV_READY)
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) js/node_modules build dist *.egg-info tests/artifacts .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(DEMO_READY): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install $(PIP_ARGS) -e ".[demo]"
	touch $@

$(DEV_READY): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install $(PIP_ARGS) -e ".[dev]"
	touch $@ $(DEMO_READY)

$(JS_READY): js/package.json js/package-lock.json
	$(NEED) npm
	cd js && npm ci --no-audit --no-fund
	touch $@
