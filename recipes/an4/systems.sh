#!/usr/bin/env bash
# Trains every system of README.md, one after the other, about three hours on two cores; what is done is not done again.
#   ASRKIT_DATA=/corpora recipes/an4/systems.sh [EXP]        experiments go to EXP/an4 (default exp/an4)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exp=${1:-exp}

system() {
    local tag=$1
    shift
    asrkit train "$here" --exp "$exp" --tag "$tag" "$@"
}

system phones text.tokenizer=phone
system mlp model=mlp text.tokenizer=phone align.model=phones
system mlp2 model=mlp text.tokenizer=phone align.model=mlp
system las model=las
system transformer model=transformer
for seed in 1 2 3; do
    system "lexicon-$seed" lm=word3 decode=lexicon seed="$seed"
done
asrkit results "$exp"/an4/{phones,mlp,mlp2,las,transformer,lexicon-1,lexicon-2,lexicon-3} --set test \
    --title "CMU AN4" -o "$exp/an4/RESULTS.md"
