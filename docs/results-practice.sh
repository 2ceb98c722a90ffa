#!/usr/bin/env bash
# Makes docs/results-practice.md from a practice world, written into $WORLD (./world): four hours on two cores, where
# nothing is there yet; minutes where all runs are.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD world=${WORLD:-./world}
zsar practice "$world"
cd "$world"
zsar index videos --dataset practice --labels labels.csv
zsar texts add definitions.json --kind definition --set practice
zsar extract word_vectors --set practice --weights word_vectors=word_vectors.txt
zsar extract efficientnet_lite0_objects --dataset practice
zsar index poses.npz --kind poses --dataset practice-poses
zsar extract raw_joints:segments=8 --dataset practice-poses
zsar texts phrases --set practice --corrections phrases.json
{
  cat "$here/docs/results-practice-head.md"
  zsar reproduce practice-subsets
  echo
  zsar reproduce e2e-practice --splits 0-2
  echo
  zsar reproduce rest-practice --only segments
  echo
  zsar reproduce jigsaw-practice
} > "$here/docs/results-practice.md.new"
mv "$here/docs/results-practice.md.new" "$here/docs/results-practice.md"
