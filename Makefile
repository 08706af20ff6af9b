# Everything a checkout needs. Each target does its own set-up, all of it below this folder.
#
#   make demo       the main job, offline, with the demo detector (a minute, and several more to set up .venv the first time)
#   make dev        adds all extras and the tools of development to .venv, which the targets below that need them do themselves
#   make test       tests of all parts, with real servers; 10 to 25 minutes on two processors
#   make test-all   all tests, also the long ones with many kills, outages and annotators; about twice as long
#   make test-containers  the containers, where a Docker engine has the base images
#   make test-pythons  the tests without Label Studio and Ray, on Python 3.11, 3.12 and 3.13 (PYTHONS="3.13" for one)
#   make serve      the service with the published detector (PRELABEL_MODEL=... for another, PRELABEL_CLASSIFIER=... for choices)
#   make prelabel   any command: make prelabel ARGS="report --project 3"
#   make wheel      the package and its sources for `pip install`, in dist/
#   make doctor     what is right and what to change about settings, connection and detector
#   make lint       format, lint and type checks
#   make hooks      installs git hooks that run these checks before each commit
#   make bench      measurements of speed and accuracy; at most 20 minutes on two processors, with nothing else running
#   make bench-all  all measurements, also the long ones of bulk jobs, input sizes, floods of events, hostile requests and large projects
#   make soak       ten minutes of mixed load, and whether memory, descriptors and threads stay flat
#   make pictures   the pictures of README.md and docs/ that show photographs and pages, with the shared detector
#   make lock       resolve the dependencies anew

.DEFAULT_GOAL := help
.PHONY: help demo dev prelabel wheel doctor test test-all test-pythons test-containers tests debian helm detector bench bench-all soak pictures serve lint hooks format lock clean

UV_VERSION := 0.13.9
UV ?= $(or $(shell command -v uv),.tools/uv/bin/uv)
BIN := .venv/bin

export UV
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv

help:
	@sed -n 's/^#   make/make/p' Makefile

demo: .venv/ready
	$(BIN)/prelabel demo --out build/demo

serve: .venv/ready
	$(BIN)/prelabel serve

dev: .venv/dev

prelabel: .venv/ready
	@$(BIN)/prelabel $(ARGS)

wheel: | $(UV)
	$(UV) build --quiet --out-dir dist .

# Status 1 means that something has to be changed, which it has said then.
doctor: .venv/ready
	@$(BIN)/prelabel doctor || test $$? = 1

# Two processes, each with servers of its own: more would need two gigabytes each, and tests in browsers their processors. Modules stay whole,
# for what they share.
PYTEST = pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

# What tests need beside .venv.
tests: debian helm detector

test: tests
	$(BIN)/$(PYTEST) -m "not slow and not containers"

test-all: tests
	$(BIN)/$(PYTEST) -m "not containers"

# The image and the compose file on a real engine; skipped where there is none, or where the base images are missing.
test-containers: .venv/dev
	$(BIN)/pytest -m containers tests/containers

# The detector that tests need, trained once (a minute): no test has to wait for it within its time limit.
detector: .venv/dev
	@$(BIN)/python tests/trained/detector.py

# Without the servers of Label Studio, which have a Python of their own, and the clusters of Ray: they take most of the time.
PYTHONS ?= 3.11 3.12 3.13

test-pythons: MORE = redis-server # the wheel that brings one along is not there for Python 3.13
test-pythons: debian detector $(PYTHONS:%=.cache/pythons/%/ready)
	@failed=; for each in $(PYTHONS); do echo "Python $$each"; \
		.cache/pythons/$$each/bin/$(PYTEST) -m "not slow and not containers" --ignore tests/e2e --ignore tests/bootstrap/engines || failed="$$failed $$each"; \
	done; test -z "$$failed" || { echo "tests failed on Python$$failed"; exit 1; }

# A Python of pyenv is found too, though none of its commands is on the PATH but the chosen one's.
.cache/pythons/%/ready: requirements/dev.txt pyproject.toml | $(UV)
	@PATH="$$PATH:$$(echo $${PYENV_ROOT:-$$HOME/.pyenv}/versions/*/bin | tr ' ' :)" \
		$(UV) venv --quiet --allow-existing --python $* .cache/pythons/$* || \
		{ echo "Python $* is not on this machine, and uv could not fetch it: install it, or choose others, as in make test-pythons PYTHONS=3.11"; exit 1; }
	$(UV) pip sync --quiet --compile-bytecode --python .cache/pythons/$* --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python .cache/pythons/$* --no-deps --editable .
	@touch $@

# A screenshot of the labelling page says more than any assertion on JSON, and corrections are tested on both databases that they can be kept in.
# Root on Debian gets the packages; `make test APT=` installs nothing. Tests whose package is missing are skipped.
APT ?= $(if $(filter 0,$(shell id -u)),$(shell command -v apt-get))

debian:
	@missing=; \
	for each in $(MORE); do command -v $$each >/dev/null || missing="$$missing $$each"; done; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing="$$missing chromium"; \
	command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	if test -z "$$missing"; then :; \
	elif test -z "$(APT)"; then echo "Not installed:$$missing. The tests that need it are skipped."; \
	else echo "Installing Debian's$$missing for the tests that need it (make $(MAKECMDGOALS) APT= leaves it out and skips them)"; \
		$(APT) update -qq && $(APT) install -qq -y $$missing >/dev/null; \
	fi

# The chart in deploy/ is rendered by Helm itself, as a library: no registry here has its program. 75 MB.
helm: .tools/helm/ready

.tools/helm/ready: deploy/helm/requirements.txt | $(UV)
	@$(UV) pip install --no-config --quiet --python-version 3.11 --only-binary :all: --require-hashes --target .tools/helm --requirements deploy/helm/requirements.txt && touch $@ || \
		echo "Helm is missing: the tests of the chart will be skipped"

# The table first: a change to the way of an image is judged by it.
bench: .venv/dev
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/cost.py
	$(BIN)/python benchmarks/decoding.py
	$(BIN)/python benchmarks/cache.py
	$(BIN)/python benchmarks/health_under_load.py
	$(BIN)/python benchmarks/telemetry.py
	$(BIN)/python benchmarks/labels.py
	$(BIN)/python benchmarks/classification.py
	$(BIN)/python benchmarks/learning.py
	$(BIN)/python benchmarks/try_page.py

bench-all: bench
	$(BIN)/python benchmarks/bootstrap.py
	$(BIN)/python benchmarks/input_size.py
	$(BIN)/python benchmarks/webhook.py
	$(BIN)/python benchmarks/hostile.py
	$(BIN)/python benchmarks/project_page.py

soak: .venv/dev
	$(BIN)/python benchmarks/soak.py

# Screenshots take the browser and the Label Studio of the tests.
pictures: .venv/dev debian
	PYTHONPATH=tests $(BIN)/python benchmarks/pictures.py

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

# Git hooks that run what `lint` runs; .pre-commit-config.yaml has the commands.
hooks: .venv/dev
	$(BIN)/pre-commit install

format: .venv/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Universal: one file for every supported Python and platform. Hashes, so that nothing else can be installed under a locked name.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --upgrade \
	--custom-compile-command "make lock"

lock: | $(UV)
	$(COMPILE) pyproject.toml requirements/tensorflow.in --output-file requirements/runtime.txt
	$(COMPILE) pyproject.toml requirements/tensorflow.in --all-extras --group dev --constraints requirements/runtime.txt --output-file requirements/dev.txt
	$(COMPILE) --no-config requirements/build.in --output-file requirements/build.txt
	$(COMPILE) --no-config requirements/label-studio.in --output-file requirements/label-studio.txt

# The runtime alone, unless .venv/dev is there: that has the same versions, and more.
# Compiled once (half a minute): where Python may not write bytecode, each start of TensorFlow would take five seconds more.
.venv/ready: requirements/runtime.txt pyproject.toml | $(UV)
	@echo "setting up .venv (460 MB to download the first time, mostly TensorFlow)"
	$(UV) venv --quiet --allow-existing --python '>=3.11,<3.14' .venv
	$(UV) pip sync --quiet --compile-bytecode --python .venv --require-hashes requirements/$(if $(wildcard .venv/dev),dev,runtime).txt
	$(UV) pip install --quiet --python .venv --no-deps --editable .
	@touch $@

.venv/dev: .venv/ready requirements/dev.txt
	@echo "adding all extras and the tools of development to .venv (320 MB more to download the first time)"
	$(UV) pip sync --quiet --compile-bytecode --python .venv --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python .venv --no-deps --editable .
	@touch $@

.tools/uv/bin/uv:
	@command -v python3 >/dev/null || { echo "Prelabel needs Python 3.11 or newer: no python3 on the PATH"; exit 1; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
		then echo "installing Debian's python3-venv"; apt-get update -qq && apt-get install -qq -y python3-venv >/dev/null; \
		else echo "Python's venv module is missing: install the package python3-venv, or uv"; exit 1; fi
	python3 -m venv .tools/uv
	.tools/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

clean:
	rm -rf .venv .tools .cache build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
