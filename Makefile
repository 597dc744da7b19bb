# `make demo` and `make test` are all that is needed at first. Every target sets up .venv.

PYTHON ?= python3
BIN := .venv/bin
RECORDINGS := $(sort $(wildcard tests/audio/*.flac))
# From the test set of recipes/prompts.
PROMPTS := $(patsubst %,recipes/prompts/data/audio/%.opus,vm-tempgreeting conf-now-unmuted vm-newpassword)

.PHONY: setup demo demo-train test test-all coverage lint docs serve bench clean

setup: .venv/ready

.venv/ready: setup.py constraints.txt tools/install_torch.py
	$(PYTHON) -m venv .venv
	$(BIN)/python tools/install_torch.py
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/ready
	$(BIN)/asrkit decode $(RECORDINGS)

demo-train: .venv/ready
	$(BIN)/asrkit train recipes/prompts
	$(BIN)/asrkit decode --model exp/prompts/default/prompts.asrkit $(PROMPTS)

test: .venv/ready lint
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-all: .venv/ready lint
	$(BIN)/python -m pytest -n auto --dist loadfile

coverage: .venv/ready
	$(BIN)/python -m pytest -n auto --dist loadfile -m "not slow" --cov --cov-report term:skip-covered

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/import_cycles.py
	$(BIN)/python tools/import_graph.py --check
	$(BIN)/python tools/notebooks.py --check

.venv/docs: .venv/ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

docs: .venv/docs
	$(BIN)/mkdocs build --strict

serve: .venv/docs
	$(BIN)/mkdocs serve

bench: .venv/ready
	for script in benchmarks/frontend.py benchmarks/ctc_decoders.py; do $(BIN)/python $$script; done

clean:
	rm -rf .venv exp build dist site htmlcov .coverage *.egg-info
