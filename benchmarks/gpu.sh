#!/usr/bin/env bash
# Training on a GPU in under ten minutes: tests of what runs on CUDA alone, a step of the paper's towers at batch
# 128, windows a second of the sign encoder; before (--before: checked, waited for, copied first) and after.
#   benchmarks/gpu.sh [FOLDER]     rows go to FOLDER/gpu.jsonl (default: .), the log to standard error
#   PYTHON=python3 DEVICE=cuda SIZE=paper STEPS=30 LIMIT=75     as environment variables
# Needs Python with PyTorch, ftfy, regex and instant-clip-tokenizer; tests also need pytest. A measurement that
# takes longer than LIMIT seconds is left out, and that is said.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
DEVICE=${DEVICE:-cuda} SIZE=${SIZE:-paper} STEPS=${STEPS:-30} LIMIT=${LIMIT:-75}
OUT=${1:-.}
mkdir -p "$OUT"
: > "$OUT/gpu.jsonl"
began=$SECONDS failed=0

measure() {
  echo "== $* ($((SECONDS - began)) s so far)" >&2
  if ! timeout "$LIMIT" "$PYTHON" benchmarks/gpu_steps.py "$@" --device "$DEVICE" --size "$SIZE" --steps "$STEPS" \
    | tee -a "$OUT/gpu.jsonl"; then
    echo "left out: $*" >&2
    failed=$((failed + 1))
  fi
}

# The most important first: a machine that is lent may go.
measure retrieval --before
measure retrieval
measure sign-encoder --before
measure sign-encoder
measure retrieval --compile reduce-overhead
measure retrieval --before --optimizer published
measure retrieval --optimizer published
measure sign-encoder --compile default
measure retrieval --compile default
measure retrieval --piece 64
if [ "$DEVICE" = cuda ] && "$PYTHON" -c 'import pytest' 2>/dev/null; then
  PYTHONPATH=.:platform:tests timeout 120 "$PYTHON" -m pytest -q -p no:cacheprovider \
    tests/model/test_cuda.py tests/platform/training/test_training_on_cuda.py >&2 || failed=$((failed + 1))
fi
echo "$((SECONDS - began)) s, $failed left out or failed; rows in $OUT/gpu.jsonl" >&2
[ "$failed" = 0 ]
