#!/usr/bin/env bash
# One change at a time to size=shipped-ctc, each trained for eight epochs (a sixth of its training), twenty minutes and
# more on one core; what is done is not done again. Two may run at once: compare.sh EXP 'base|char|…' takes some of them.
#   ASRKIT_DATA=/corpora recipes/librispeech/compare.sh [EXP] [TAGS]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exp=${1:-exp}
only=${2:-.*}
tags=()

system() {
    local tag=$1
    shift
    tags+=("$exp/librispeech/$tag")
    [[ $tag =~ ^($only)$ ]] || return 0
    asrkit train "$here" --exp "$exp" --tag "$tag" size=shipped-ctc train.epochs=8 train.batch_seconds=256 train.average=3 \
        train.warmup_steps=200 decode.beam_size=200 decode.tune.lm_weight=[1.0] decode.tune.ctc_prior_weight=[0.0,0.4] "$@"
}

shape=model.pyramid
system base
system char text.tokenizer=char
system unigram text.tokenizer=unigram text.vocab_size=300
system joint model=las text.tokenizer=phone decode=rescoring 'decode.tune={ctc_weight: [0.5], lm_weight: [1.0]}'
system hidden-256 $shape.hidden=256
system hidden-512 $shape.hidden=512
conformer=(model=conformer-ctc decode=lexicon model.conformer.dim=192 model.conformer.ff=768 train.lr=6e-4)
system conformer "${conformer[@]}" model.conformer.layer_drop=0.0
system conformer-depth "${conformer[@]}" model.conformer.layer_drop=0.15
system crf model.crf_weight=0.9 'decode.tune.ctc_prior_weight=[0.0]'
system crf-from-base model.init=base model.crf_weight=0.9 'decode.tune.ctc_prior_weight=[0.0]'
system utterance features.cmvn=utterance
system one-speed augment.speeds=[1.0]
system no-masks augment.time_masks=0 augment.freq_masks=0
system volume augment.volume_db=10
system noise-rooms augment.noise_share=0.3 augment.reverb_share=0.3
system dropout-0.1 $shape.dropout=0.1
system two-views model.consistency=0.2 train.epochs=4
system best-epoch train.average=1
system seed-2 seed=2
if [ "$only" = ".*" ]; then
    asrkit results "$exp/librispeech/default" "${tags[@]}" --title "LibriSpeech, six hours" -o "$exp/librispeech/RESULTS.md"
fi
