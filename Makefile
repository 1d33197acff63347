# Two commands do it all: `make book` and `make test`. Each sets up what it needs.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/ready

PINNED := $(wildcard requirements*.txt)
# from what each chapter is made, by content: the library writes a list for each, and these rules
RULES  := build/rules.mk

# what is given goes to the command as it is, past make and the shell
unexport NAME ARGS GRID STUDY NETWORKS ENGINE NETWORK DATA BEFORE ALONG OUTPUT PORT FULL

# what opens a file in the browser
SHOW := $(if $(filter Darwin,$(shell uname -s)),open,xdg-open)

export JAX_PLATFORMS ?= cpu
export TF_CPP_MIN_LOG_LEVEL = 3

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help book pdf quick serve test golden results report picture peers bench lint format chapter sweep clean distclean FORCE

help:  ## show this list
	@echo "RNNatomy: what a recurrent network has learnt. Targets:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "MNIST is read from the folder that RNNATOMY_DATA names, from TFDS's cache, or downloaded."

$(READY): $(PINNED) pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"Python {v[0]}.{v[1]} is too old: name one of at least 3.11, as in make PYTHON=python3.12 book")'
	@echo "Setting up $(VENV) (once, about two minutes)"
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

book: build/site/index.html  ## run the chapters and build the site: build/site/index.html
	@echo "Trained here on: $$(cut -d ' ' -f 1 build/data)"
	@echo "Open the book: $(SHOW) '$(CURDIR)/build/site/index.html'"

build/data build/motion: FORCE | $(READY)
	@$(PY) -m rnnatomy.report.chapters $(@F) $@

$(RULES): FORCE | $(READY)
	@$(PY) -m rnnatomy.report.chapters depends $@

ifneq ($(filter book pdf quick golden picture build/%,$(MAKECMDGOALS)),)
include $(RULES)
endif

build/chapters/%.ipynb: | build/data
	@$(PY) -m rnnatomy.report.chapters run $* --data build/data --output $(@D)

build/quick/%.ipynb: | $(READY)
	@$(PY) -m rnnatomy.report.chapters run $* --quick --output $(@D)

FULL_CHAPTERS  := $(CHAPTERS:%=build/chapters/%.ipynb)
QUICK_CHAPTERS := $(CHAPTERS:%=build/quick/%.ipynb)

build/site/index.html: $(FULL_CHAPTERS) build/chapters/.inputs
	@$(PY) -m rnnatomy.report.site build build/chapters build/site

pdf: build/rnnatomy.pdf  ## print the whole book as one PDF: build/rnnatomy.pdf

PRINTS := lib/rnnatomy/report/pdf.py lib/rnnatomy/report/paper.py CITATION.cff

build/rnnatomy.pdf: build/site/index.html $(PRINTS)
	@$(PY) -m rnnatomy.report.pdf build/site $@

quick: build/site-quick/index.html  ## the same site with quick parameters: build/site-quick/index.html
	@echo "Open the quick book: $(SHOW) '$(CURDIR)/build/site-quick/index.html'"

build/site-quick/index.html: $(QUICK_CHAPTERS) build/quick/.inputs
	@$(PY) -m rnnatomy.report.site build build/quick build/site-quick --strict

serve: export GIVEN_PORT := $(value PORT)
serve: $(READY)  ## the quick site in the browser, built again on change; FULL=1 PORT=8001: the book
	@$(PY) -m rnnatomy.report.serve --port="$$GIVEN_PORT" $(if $(value FULL),book,quick)

test: $(READY)  ## all tests: library, chapters, golden outputs, site in a browser
	@$(MAKE) --no-print-directory --jobs=2 quick
	@$(PY) -m pytest --numprocesses=2 --dist=loadfile --max-worker-restart=0

golden: $(QUICK_CHAPTERS)  ## write the golden outputs anew, after a wanted change of a chapter
	@$(PY) tests/golden.py

results sweep: export GIVEN_ENGINE := $(value ENGINE)
results: export GIVEN_STUDY := $(value STUDY)
results: export GIVEN_NETWORKS := $(value NETWORKS)
results: $(READY)  ## run the studies, one of them: make results STUDY=thousand NETWORKS=2000
	@export ENGINE="$$GIVEN_ENGINE"; set -f; \
	for study in $${GIVEN_STUDY:-$$($(PY) -m rnnatomy.studies list)}; do \
	  $(PY) -m rnnatomy.studies $${GIVEN_NETWORKS:+--networks="$$GIVEN_NETWORKS"} -- "$$study" || exit 1; \
	done

report: export GIVEN_NETWORK := $(value NETWORK)
report: export GIVEN_DATA := $(value DATA)
report: export GIVEN_BEFORE := $(value BEFORE)
report: export GIVEN_ALONG := $(value ALONG)
report: export GIVEN_OUTPUT := $(value OUTPUT)
report: $(READY)  ## a page on your own network: make report NETWORK=model.safetensors DATA=test.npz
	@$(PY) -m rnnatomy report --before="$$GIVEN_BEFORE" --along="$$GIVEN_ALONG" --output="$${GIVEN_OUTPUT:-build/report}" -- "$$GIVEN_NETWORK" "$$GIVEN_DATA"

picture: build/chapters/intro.ipynb  ## write the picture of the README anew, and the preview of the book
	@$(PY) -m rnnatomy.report.site picture $< book/images/headline
	@$(PY) -m rnnatomy.report.previews "What has the network learnt?" book/images/headline-light.svg book/_static/preview.png

peers:  ## have PyTorch, Keras, Flax and ONNX write the test files anew, in an environment apart
	@test -x build/peers/bin/python || $(PYTHON) -m venv build/peers
	@build/peers/bin/python -m pip install --quiet --disable-pip-version-check -r tests/peers/requirements.txt
	@build/peers/bin/python tests/peers/make.py

bench: $(READY)  ## time the library side by side with its peers
	@$(PY) benchmarks/library.py
	@$(PY) benchmarks/pod.py
	@$(PY) benchmarks/training.py

build/citation/bin/cffconvert:
	@$(PYTHON) -m venv build/citation
	@build/citation/bin/python -m pip install --quiet --disable-pip-version-check cffconvert==2.0.0

lint: $(READY) build/citation/bin/cffconvert  ## style, types, import contracts, citation, and that a wheel can be made
	@build/citation/bin/cffconvert --validate
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo --no-cache
	@mkdir -p build && { $(PY) -m build --no-isolation --outdir build/dist . > build/dist.log 2>&1 || { cat build/dist.log; exit 1; }; }

format: $(READY)  ## put the code in the house style
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

chapter: export CHAPTER_NAME := $(value NAME)
chapter: export CHAPTER_ARGS := $(value ARGS)
chapter: $(READY)  ## run one chapter: make chapter NAME=cutoffs ARGS="-p direction 3"
	@$(PY) -m rnnatomy.report.chapters run --words="$$CHAPTER_ARGS" -- "$$CHAPTER_NAME"

sweep: export SWEEP_NAME := $(value NAME)
sweep: export SWEEP_GRID := $(value GRID)
sweep: $(READY)  ## run a chapter over a grid: make sweep NAME=cutoffs GRID="direction=1..10 digit=0,8"
	@ENGINE="$$GIVEN_ENGINE" $(PY) -m rnnatomy.sweeps $(if $(value QUICK),--quick) -- "$$SWEEP_NAME" "$$SWEEP_GRID"

clean:  ## remove what was built, but the environment
	rm -rf build

distclean: clean
	rm -rf $(VENV)
