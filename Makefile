# Everything a checkout needs. Each target does its own set-up, all of it below this folder.
#
#   make demo       the main job, offline, with the demo detector (a minute, and several more to set up .venv the first time)
#   make test       tests of all parts, with real servers; at most 12 minutes on two processors
#   make test-all   all tests, also the long ones with many kills, outages and annotators; about twice as long
#   make serve      the service with the published detector (PRELABEL_MODEL=... for another, PRELABEL_CLASSIFIER=... for choices)
#   make prelabel   any command, on the files that make serve uses: make prelabel ARGS="report --project 3"
#   make doctor     what is right and what to change about settings, connection and detector
#   make lint       format, lint and type checks
#   make hooks      installs git hooks that run these checks before each commit
#   make bench      measurements of speed and accuracy; at most 20 minutes on two processors, with nothing else running
#   make bench-all  all measurements, also the long ones of bulk jobs, input sizes, floods of events and hostile requests
#   make soak       ten minutes of mixed load, and whether memory, descriptors and threads stay flat
#   make lock       resolve the dependencies anew

.DEFAULT_GOAL := help
.PHONY: help demo prelabel doctor test test-all chromium detector postgres bench bench-all soak serve lint hooks format lock clean

UV_VERSION := 0.13.9
UV ?= $(or $(shell command -v uv),.tools/uv/bin/uv)
BIN := .venv/bin

export UV
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export TFHUB_CACHE_DIR ?= $(CURDIR)/.cache/models
export PRELABEL_CACHE_FILE ?= $(CURDIR)/.cache/cache.sqlite3
# Not below .cache: what people corrected cannot be computed again, and `make clean` leaves it.
export PRELABEL_DATABASE_URL ?= sqlite:///$(CURDIR)/data/feedback.sqlite3

help:
	@sed -n 's/^#   make/make/p' Makefile

demo: .venv/ready
	$(BIN)/prelabel demo --out build/demo

serve: .venv/ready
	$(BIN)/prelabel serve

# Without these, a command uses the user's own folders: another database, and detectors downloaded once more.
prelabel: .venv/ready
	@$(BIN)/prelabel $(ARGS)

doctor: .venv/ready
	$(BIN)/prelabel doctor

# Two processes, each with servers of its own: more would need two gigabytes each. Modules stay whole, for what they share.
PYTEST = $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: .venv/ready chromium postgres detector
	$(PYTEST) -m "not slow"

test-all: .venv/ready chromium postgres detector
	$(PYTEST)

# The detector that tests need, trained once (a minute): no test has to wait for it within its time limit.
detector: .venv/ready
	@$(BIN)/python tests/trained/detector.py

# The browser test needs one; a screenshot of the labelling page says more than any assertion on JSON.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
		then echo "installing Debian's chromium for the browser test"; apt-get update -qq && apt-get install -qq -y chromium >/dev/null; \
		else echo "Chromium is missing: the browser test will be skipped (install the package chromium)"; fi

# Corrections are tested on both databases that they can be kept in.
postgres:
	@command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
		then echo "installing Debian's postgresql for the tests of it"; apt-get update -qq && apt-get install -qq -y postgresql >/dev/null; \
		else echo "Postgres is missing: its tests will be skipped (install the package postgresql)"; fi

# The table first: a change to the way of an image is judged by it.
bench: .venv/ready
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/cache.py
	$(BIN)/python benchmarks/health_under_load.py
	$(BIN)/python benchmarks/labels.py
	$(BIN)/python benchmarks/classification.py
	$(BIN)/python benchmarks/learning.py

bench-all: bench
	$(BIN)/python benchmarks/bootstrap.py
	$(BIN)/python benchmarks/input_size.py
	$(BIN)/python benchmarks/webhook.py
	$(BIN)/python benchmarks/hostile.py

soak: .venv/ready
	$(BIN)/python benchmarks/soak.py

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# Git hooks that run what `lint` runs; .pre-commit-config.yaml has the commands.
hooks: .venv/ready
	$(BIN)/pre-commit install

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Universal: one file for every supported Python and platform. Hashes, so that nothing else can be installed under a locked name.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --upgrade \
	--custom-compile-command "make lock"

lock: | $(UV)
	$(COMPILE) pyproject.toml requirements/tensorflow.in --output-file requirements/runtime.txt
	$(COMPILE) pyproject.toml requirements/tensorflow.in --all-extras --group dev --constraints requirements/runtime.txt --output-file requirements/dev.txt
	$(COMPILE) --no-config requirements/label-studio.in --output-file requirements/label-studio.txt

# Compiled once (half a minute): where Python may not write bytecode, each start of TensorFlow would take five seconds more.
.venv/ready: requirements/dev.txt pyproject.toml | $(UV)
	@echo "setting up .venv (TensorFlow is large: about 600 MB to download the first time)"
	$(UV) venv --quiet --allow-existing --python '>=3.11,<3.14' .venv
	$(UV) pip sync --quiet --compile-bytecode --python .venv --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python .venv --no-deps --editable .
	@touch $@

.tools/uv/bin/uv:
	@command -v python3 >/dev/null || { echo "Prelabel needs Python 3.11 or newer: no python3 on the PATH"; exit 1; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
		then apt-get update -qq && apt-get install -qq -y python3-venv; \
		else echo "Python's venv module is missing: install the package python3-venv, or uv"; exit 1; fi
	python3 -m venv .tools/uv
	.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

clean:
	rm -rf .venv .tools .cache build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
