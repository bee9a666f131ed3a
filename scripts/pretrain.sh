#!/usr/bin/env bash
# Trains the checkpoints of platform/cico_platform/pretrained again, with the commands that everybody has.
# usage: scripts/pretrain.sh [WORK_FOLDER]; about half an hour on two cores. Run it again to go on after a stop.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work=${1:-build/pretraining}
cico=.venv/bin/cico
out=platform/cico_platform/pretrained
# Other signers and sentences than those of the demo, whose seeds are 0, 1, 2, ...
seed=1000

"$cico" corpus synthesize --seed $seed --dictionary-signers 34 --train 0 --validation 0 --test 0 --out "$work/dictionary"
"$cico" train sign-encoder "$work/dictionary" --seed $seed --out "$work/agnostic"
"$cico" demo --seed $seed --encoder "$work/agnostic" --work-dir "$work/demo"

# Publish CHECKPOINT NAME DATASET: half precision, with a model card, without the files of the step.
publish() {
  "$cico" export "$1" --out "$work/export/$2" --weights float16 --license apache-2.0 --name "cico-drawn-$2" --dataset "$3" "${@:4}"
  mkdir -p "$out/$2"
  for file in "$work/export/$2"/*; do
    if [ "$(basename "$file")" != step.json ]; then cp "$file" "$out/$2/"; fi
  done
}
publish "$work/agnostic" agnostic "a drawn dictionary (cico corpus synthesize)"
publish "$work/demo/encoders/domain_aware" domain_aware "drawn sentences (cico corpus synthesize)"
publish "$work/demo/variants/augmented" retrieval "drawn sentences (cico corpus synthesize)" \
  --report "$work/demo/reports/augmented/report.json" --language en
du -sh "$out"/*/model.safetensors
