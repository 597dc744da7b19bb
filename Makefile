# Two commands do everything: `make demo` and `make test`. Each sets up its own .venv first.

PYTHON ?= python3
BIN := .venv/bin
RECORDINGS := $(sort $(wildcard tests/audio/*.flac))
# Of the test set: prompts that a recogniser trained on recipes/prompts has not heard.
PROMPTS := $(patsubst %,recipes/prompts/data/audio/%.opus,vm-tempgreeting conf-now-unmuted vm-newpassword)

.PHONY: setup demo demo-train test test-all lint bench clean

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

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/ready
	for script in benchmarks/frontend.py benchmarks/ctc_decoders.py; do $(BIN)/python $$script; done

clean:
	rm -rf .venv exp build dist *.egg-info
