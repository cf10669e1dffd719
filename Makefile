# `make demo` and `make test` are all it takes on a fresh machine: what is missing they install into .venv first.
# PYTHON=/path/to/python3 chooses the interpreter; CI=true runs the slow tests too.

PYTHON ?= python3
VENV := .venv/bin
BENCHMARKS := eager arrays long_chain compiled growth optimizers convolution train_step digits

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint types pytest bench clean render dev browser

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

demo: render  ## the textbook example: its graph, both derivatives, and the proof
	$(VENV)/python -m compgraph demo

# A part that fails stops none of the others, so one start shows all there is to mend; pytest speaks last.
test:  ## ruff, mypy, then pytest with the doctests
	@$(MAKE) --no-print-directory --keep-going lint types pytest

lint: dev  ## ruff
	$(VENV)/ruff check

types: dev  ## mypy
	$(VENV)/mypy

# A worker for each processor, which shares it with no threads of BLAS; PYTEST_ARGS="-n 0" runs all in one process.
pytest: export OPENBLAS_NUM_THREADS := 1
pytest: dev browser  ## the tests and doctests; PYTEST_ARGS="-k name" chooses among them
	$(VENV)/python -m pytest -n auto --dist worksteal $(if $(filter true,$(CI)),,-m "not slow") $(PYTEST_ARGS)

bench: dev  ## side by side with those other libraries that are installed; STORE=1 puts the tables into benchmarks/README.md
	set -e; for name in $(BENCHMARKS); do $(VENV)/python benchmarks/$$name.py $(if $(filter 1,$(STORE)),--store); done

clean:  ## remove the environment and all that was built
	rm -rf .venv build dist compgraph-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment, with what the demo needs, and with what the tests need, so that the demo finds its part there.
render:
	@$(PYTHON) .ci/environment.py render

dev:
	@$(PYTHON) .ci/environment.py dev render $(if $(filter true,$(CI)),browser)

# In CI the stepper's page is read in a real browser; where none can be had, those tests say so and are skipped.
browser: dev
	@$(if $(filter true,$(CI)),command -v chromium > /dev/null || timeout 300 $(VENV)/playwright install chromium || true,true)
