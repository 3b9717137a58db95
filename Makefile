# `make help` lists the targets. Each sets up what it needs: .venv is created when missing and updated when
# one of the files with its packages is newer.

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
ARGS ?=
DEVICE ?= cpu

.DEFAULT_GOAL := help
.PHONY: help demo gallery test test-fast test-core test-host check fix requirements archive golden golden-check bench bench-ops kept-sizes matrix precision fuzz stress bench-quality bench-real reconstruction

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "make %-14s %s\n", $$1, $$2 }'

$(READY): requirements-dev.txt requirements-torch.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed here; set PYTHON=/path/to/python3")'
	@test -x $(PY) && $(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@echo "Setting up .venv; this takes a few minutes, once."
	$(PY) -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(PY) -m pip install -r requirements-torch.txt
	@touch $@

demo: $(READY) ## generate image pairs with the bundled model; HOST=comfyui uses ComfyUI instead of diffusers
	$(PY) -m demo.show $(if $(HOST),--host $(HOST)) $(ARGS)

gallery: $(READY) ## regenerate the images of the README
	$(PY) -m demo.show --out docs/pictures $(ARGS)

test: $(READY) ## all tests; the host suite runs on the stand-in and on every ComfyUI it finds
	@status=0; \
	$(PY) -m pytest tests --ignore=tests/host $(ARGS) || status=1; \
	$(PY) -m tools.comfyui.run_hosts $(ARGS) || status=1; \
	exit $$status

test-fast: $(READY) ## the core and the host suite on the stand-in
	P2P_HOST= $(PY) -m pytest -q -r fE tests/core tests/host $(ARGS)

test-core: $(READY) ## only the tests of the core
	$(PY) -m pytest tests/core $(ARGS)

test-host: $(READY) ## only the host suite
	$(PY) -m tools.comfyui.run_hosts $(ARGS)

check: $(READY) ## lint, format and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyright

fix: $(READY) ## auto-fixable lint and format issues
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

COMPILE = $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make requirements"

requirements: $(READY) ## write the requirements with hashes, after a change of their .in files
	$(COMPILE) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) .github/requirements.in -o .github/requirements.txt

archive: $(READY) ## the archive for the registry, into dist/
	$(PY) -m tools.release.archive dist/prompt-to-prompt.zip

golden-check: $(READY) ## compare the example workflows' final latents with the recorded ones, on every host
	@status=0; \
	$(PY) -m pytest tests/demo/test_golden_diffusers.py -q $(ARGS) || status=1; \
	$(PY) -m tools.comfyui.run_hosts test_golden.py -q $(ARGS) || status=1; \
	exit $$status

golden: $(READY) ## record the final latents on every host, after a change that is meant to move them
	P2P_WRITE_GOLDEN=1 $(PY) -m pytest tests/demo/test_golden_diffusers.py -q -k latents_are_golden
	P2P_WRITE_GOLDEN=1 $(PY) -m tools.comfyui.run_hosts test_golden.py -q

bench: $(READY) ## speed and memory compared with a plain batch, on ComfyUI; DEVICE=cuda on a GPU, ARGS=--docs updates docs/performance.md
	$(PY) -m tools.comfyui.run_hosts --module benchmarks.host.overhead --device $(DEVICE) $(ARGS)

kept-sizes: $(READY) ## memory of a remembered source with its attention, into the help page of Remember Source
	$(PY) -m benchmarks.core.kept_sizes

bench-ops: $(READY) ## device ops that each kind of edit adds to a plain run
	$(PY) -m benchmarks.core.ops

matrix: $(READY) ## every sampler × scheduler × sampling node; ARGS=--docs updates docs/compatibility.md
	$(PY) -m tools.comfyui.run_hosts --module benchmarks.host.sampler_matrix $(ARGS)

precision: $(READY) ## fp16, bf16 and fp8 weights, into docs/compatibility.md
	$(PY) -m tools.comfyui.run_hosts --module benchmarks.host.precision

reconstruction: $(READY) ## error of each inversion method by architecture, on tiny random models; ARGS=--docs updates docs/real_images.md
	$(PY) -m tools.comfyui.run_hosts --module benchmarks.host.reconstruction $(ARGS)

fuzz: $(READY) ## five minutes of hostile input on the first ComfyUI found; ARGS=--docs updates docs/compatibility.md
	$(PY) -m tools.comfyui.run_hosts --module benchmarks.host.fuzz $(ARGS)

stress: $(READY) ## two hundred random edits on a real server, on the first ComfyUI found
	$(PY) -m benchmarks.host.stress $(ARGS)

bench-quality: $(READY) ## edit quality against known ground truth, into docs/; ARGS="--curve windows" for the curve
	$(PY) -m benchmarks.quality.edit_quality $(ARGS)

bench-real: $(READY) ## real images: reconstruction and edits by method, into docs/real_images.md
	$(PY) -m benchmarks.real.real_images $(ARGS)
