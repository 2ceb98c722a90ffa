#!/usr/bin/env bash
# Makes docs/results.md: UCF101 told by machine captions, and skeletons; indexed, encoded, every table fitted and judged.
# Reads $CAPTIONS/{captions.jsonl.gz,web_sentences.jsonl.gz}, $CLASSES/definitions_ucf101.json and
# $CLASSES/motion_descriptions/*.csv, $CLASSES/definitions_kinetics620.json, $DESCRIPTIONS/delivery?.jsonl.gz, $SKELETONS/{utd_mhad,nw_ucla}.npz and
# $CLASSES/part_phase_texts_*.json; what is in $ZSAR_ROOT already is not computed again.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${DATA:-data}
CAPTIONS=${CAPTIONS:-$data/ucf101} CLASSES=${CLASSES:-$data/classes} DESCRIPTIONS=${DESCRIPTIONS:-$data/actionhub_standin}
SKELETONS=${SKELETONS:-$data/skeleton}
export ZSAR_ROOT=${ZSAR_ROOT:-./results-data}
test -f "$CAPTIONS/captions.jsonl.gz" || { echo "No captions in $CAPTIONS; set CAPTIONS and CLASSES (docs/results.sh)."; exit 1; }
test -f "$SKELETONS/utd_mhad.npz" || { echo "No utd_mhad.npz in $SKELETONS; set SKELETONS (docs/results.sh)."; exit 1; }
zsar index "$CAPTIONS/captions.jsonl.gz" --kind captions --dataset ucf101
zsar texts add "$CLASSES/definitions_ucf101.json" --kind definition --set ucf101
zsar texts add "$CLASSES"/motion_descriptions/u*.csv --kind definition --set ucf101
zsar texts add "$CAPTIONS/web_sentences.jsonl.gz" --kind description --set ucf101
zsar texts phrases --set ucf101
# the same once more, with where each text is from, and what two other data sets say of classes they have too
zsar texts add "$CLASSES/definitions_ucf101.json" --kind definition --set ucf101-parts
zsar texts add "$CLASSES"/motion_descriptions/u*.csv --kind definition --part motion --set ucf101-parts
zsar texts add "$CAPTIONS/web_sentences.jsonl.gz" --kind description --part web --set ucf101-parts
zsar texts phrases --set ucf101-parts
zsar texts add "$CLASSES"/motion_descriptions/[Kk]*.csv "$CLASSES/definitions_kinetics620.json" \
  --kind definition --part kinetics --set ucf101-parts
zsar texts add "$DESCRIPTIONS"/delivery?.jsonl.gz --kind description --part activitynet --set ucf101-parts
for encoder in minilm mpnet_base; do  # the second is of `make pack-large`
  zsar extract $encoder --dataset ucf101
  zsar extract $encoder --set ucf101
  zsar extract $encoder --set ucf101-parts
done
for name in utd_mhad nw_ucla; do
  layout=kinect-20; test $name = utd_mhad && layout=kinect-20-utd
  zsar index "$SKELETONS/$name.npz" --kind poses --dataset ${name/_/-} --layout $layout
  zsar texts add "$CLASSES/part_phase_texts_$name.json" --kind definition --set ${name/_/-}
  zsar extract minilm --set ${name/_/-}
done
zsar extract raw_joints:segments=8 --dataset utd-mhad
{
  cat docs/results-head.md
  zsar reproduce ucf101-captions
  zsar reproduce ucf101-two-encoders
  cat docs/results-skeleton.md
  zsar reproduce skeleton
  zsar reproduce skeleton-phases
} > docs/results.md.new
mv docs/results.md.new docs/results.md
