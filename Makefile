# `make help` lists the targets. Each does its own set-up: .venv is made when it is absent and refreshed
# when requirements-dev.txt is newer than it.

PYTHON ?= python3
PY := .venv/bin/python
READY := .venv/.ready
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo gallery test test-fast test-core test-host check fix golden golden-check bench matrix precision fuzz stress bench-quality bench-real bench-pinned

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "make %-13s %s\n", $$1, $$2 }'

$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed here; give one with PYTHON=/path/to/python3")'
	@test -x $(PY) && $(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@echo "Setting up .venv; this takes a few minutes, once."
	$(PY) -m pip install "$$(grep '^torch==' requirements-dev.txt)"
	$(PY) -m pip install --quiet -r requirements-dev.txt
	@touch $@

demo: $(READY) ## draw picture pairs with the bundled model; HOST=comfyui draws them through ComfyUI
	$(PY) -m demo.show $(if $(HOST),--host $(HOST)) $(ARGS)

gallery: $(READY) ## draw the pictures of README anew
	$(PY) -m demo.show --out docs/pictures $(ARGS)

test: $(READY) ## all tests; the host suite runs on the stand-in and on every ComfyUI that is found
	@status=0; \
	$(PY) -m pytest tests --ignore=tests/host $(ARGS) || status=1; \
	$(PY) -m tools.comfyui.run_hosts $(ARGS) || status=1; \
	exit $$status

test-fast: $(READY) ## the core and the host suite on the stand-in
	P2P_HOST= $(PY) -m pytest -q -r fE tests/core tests/host $(ARGS)

test-core: $(READY) ## the tests of the method alone
	$(PY) -m pytest tests/core $(ARGS)

test-host: $(READY) ## the host suite alone
	$(PY) -m tools.comfyui.run_hosts $(ARGS)

check: $(READY) ## lint, format and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyright

fix: $(READY) ## mend what lint and format can mend
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

golden-check: $(READY) ## compare the example workflows' final latents with the recorded ones, on every host
	@status=0; \
	$(PY) -m pytest tests/demo/test_golden_diffusers.py -q $(ARGS) || status=1; \
	$(PY) -m tools.comfyui.run_hosts test_golden.py -q $(ARGS) || status=1; \
	exit $$status

golden: $(READY) ## record the final latents on every host, after a change that is meant to move them
	P2P_WRITE_GOLDEN=1 $(PY) -m pytest tests/demo/test_golden_diffusers.py -q -k latents_are_golden
	P2P_WRITE_GOLDEN=1 $(PY) -m tools.comfyui.run_hosts test_golden.py -q

bench: $(READY) ## speed and memory against a plain batch, on the first ComfyUI that is found
	$(PY) -m tools.comfyui.run_hosts --module benchmarks.host.overhead $(ARGS)

matrix: $(READY) ## every sampler × scheduler × way to sample; ARGS=--docs writes docs/compatibility.md
	$(PY) -m tools.comfyui.run_hosts --module benchmarks.host.sampler_matrix $(ARGS)

precision: $(READY) ## what weights of fewer bits do, into docs/compatibility.md
	$(PY) -m tools.comfyui.run_hosts --module benchmarks.host.precision

fuzz: $(READY) ## ten thousand random prompt pairs through the nodes, on the first ComfyUI that is found
	$(PY) -m tools.comfyui.run_hosts --module benchmarks.host.fuzz $(ARGS)

stress: $(READY) ## two hundred random edits on a real server, on the first ComfyUI that is found
	$(PY) -m benchmarks.host.stress $(ARGS)

bench-quality: $(READY) ## edit quality with known truth, into docs/; ARGS="--curve windows" for the curve
	$(PY) -m benchmarks.quality.edit_quality $(ARGS)

bench-real: $(READY) ## real pictures: reconstruction and edits by method, into docs/real_images.md
	$(PY) -m benchmarks.real.real_images $(ARGS)

bench-pinned: $(READY) ## what an edit of a real picture costs against one of a generated picture, on ComfyUI
	$(PY) -m tools.comfyui.run_hosts --module benchmarks.host.pinned $(ARGS)
