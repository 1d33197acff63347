# Two commands do it all: `make book` and `make test`. Each sets up what it needs.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/ready

LIBRARY  := $(shell find lib/rnnatomy -name "*.py")
RESULTS  := $(wildcard results/*/*.json)
PAGES    := $(shell find book -type f ! -name '*.ipynb' ! -path '*/.*') _config.yml _toc.yml
CHAPTERS := intro training readout cutoffs hundred gates autoencoder orbits people gauge
# reports on the other chapters, so it runs when they have run
LAST     := reproducibility

FULL  := $(CHAPTERS:%=build/chapters/%.ipynb)
QUICK := $(CHAPTERS:%=build/quick/%.ipynb)

export JAX_PLATFORMS ?= cpu
export TF_CPP_MIN_LOG_LEVEL = 3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book quick test golden results picture bench lint format chapter clean distclean FORCE

help:  ## show this list
	@echo "RNNatomy: what a recurrent network has learnt. Targets:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "MNIST is read from the folder that RNNATOMY_DATA names, from TFDS's cache, or downloaded."

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python {v[0]}.{v[1]} is too old: name one of at least 3.11, as in make PYTHON=python3.12 book")'
	@echo "Setting up $(VENV) (once, about two minutes)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

book: build/site/index.html  ## run the chapters and build the site: build/site/index.html
	@echo "Trained here on: $$(cat build/data)"
	@echo "The book: $(CURDIR)/build/site/index.html"

build/data: FORCE | $(READY)
	@$(PY) -m rnnatomy.report.chapters data $@

build/chapters/%.ipynb: book/%.ipynb $(LIBRARY) $(RESULTS) build/data $(READY)
	@$(PY) -m rnnatomy.report.chapters run $* --data build/data --output $(@D)

build/chapters/$(LAST).ipynb: $(FULL)

build/site/index.html: $(FULL) build/chapters/$(LAST).ipynb $(PAGES)
	@$(PY) -m rnnatomy.report.site build build/chapters build/site

quick: build/site-quick/index.html  ## the same site with quick parameters: build/site-quick/index.html
	@echo "The quick book: $(CURDIR)/build/site-quick/index.html"

build/quick/%.ipynb: book/%.ipynb $(LIBRARY) $(RESULTS) $(READY)
	@$(PY) -m rnnatomy.report.chapters run $* --quick --output $(@D)

build/quick/$(LAST).ipynb: $(QUICK)

build/site-quick/index.html: $(QUICK) build/quick/$(LAST).ipynb $(PAGES)
	@$(PY) -m rnnatomy.report.site build build/quick build/site-quick --strict

test: $(READY)  ## all tests: library, chapters, golden outputs, site in a browser
	@$(MAKE) --no-print-directory --jobs=2 quick
	@$(PY) -m pytest --numprocesses=2 --dist=loadfile

golden: $(READY)  ## write the golden outputs anew, after a wanted change of a chapter
	@$(PY) tests/golden.py write

results: $(READY)  ## run the studies anew and publish them in results/ (some five hours on two cores)
	@$(PY) -m rnnatomy.studies mnist
	@$(PY) -m rnnatomy.studies hundred
	@$(PY) -m rnnatomy.studies collapse
	@$(PY) -m rnnatomy.studies orbits
	@$(PY) -m rnnatomy.studies movement
	@$(PY) -m rnnatomy.studies gates
	@$(PY) -m rnnatomy.studies layers
	@$(PY) -m rnnatomy.studies autoencoder
	@$(PY) -m rnnatomy.studies likelihood
	@$(PY) -m rnnatomy.studies strokes

picture: build/chapters/intro.ipynb  ## write the picture of the README anew
	@$(PY) -m rnnatomy.report.site picture $< book/images/headline

bench: $(READY)  ## time the library side by side with its peers
	@$(PY) benchmarks/library.py
	@$(PY) benchmarks/pod.py

lint: $(READY)  ## style and types
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

format: $(READY)  ## put the code in the house style
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

chapter: $(READY)  ## run one chapter: make chapter NAME=cutoffs ARGS="-p direction 3"
	@$(PY) -m rnnatomy.report.chapters run "$(NAME)" $(ARGS)

clean:  ## remove what was built, but the environment
	rm -rf build

distclean: clean
	rm -rf $(VENV)
