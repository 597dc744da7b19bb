#!/usr/bin/env bash
# Trains every system of README.md, one after the other, about five hours on two cores; what is done is not done again.
#   ASRKIT_DATA=/corpora recipes/an4/systems.sh [EXP]        experiments go to EXP/an4 (default exp/an4)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exp=${1:-exp}

system() {
    local tag=$1
    shift
    asrkit train "$here" --exp "$exp" --tag "$tag" "$@"
}

words=(lm=word3 score.units=[word,char])
system phones text.tokenizer=phone "${words[@]}" decode=lexicon
for seed in 2 3; do
    system "phones-$seed" text.tokenizer=phone "${words[@]}" decode=lexicon seed="$seed"
done
system mlp model=mlp text.tokenizer=phone align.model=phones
system mlp2 model=mlp text.tokenizer=phone align.model=mlp
system las model=las
# The same model again, decoded with a lexicon.
[ -d "$exp/an4/las-lexicon" ] || cp -r "$exp/an4/las" "$exp/an4/las-lexicon"
system las-lexicon model=las "${words[@]}" decode=rescoring
system transformer model=transformer
system conformer model=conformer-ctc
asrkit results "$exp"/an4/{phones,phones-2,phones-3,mlp,mlp2,las,las-lexicon,transformer,conformer} --set test \
    --title "CMU AN4" -o "$exp/an4/RESULTS.md"
