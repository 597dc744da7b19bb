#!/usr/bin/env bash
# One change at a time to a smaller size=shipped-ctc (5.4 M parameters), each trained for six epochs (an eighth of its training),
# ten minutes and more on one core; what is done is not done again. Two may run at once: compare.sh EXP 'base|char|…'
# takes some of them.
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
    asrkit train "$here" --exp "$exp" --tag "$tag" size=shipped-ctc model.pyramid.hidden=256 train.epochs=6 \
        train.batch_seconds=256 train.average=3 train.warmup_steps=200 decode.beam_size=200 decode.tune={} \
        decode.lm_weight=1.0 decode.ctc_prior_weight=0.4 "$@"
}

# The same training again, of which something after it changes.
of_base() {
    local tag=$1
    shift
    if [[ $tag =~ ^($only)$ ]] && [ ! -d "$exp/librispeech/$tag" ]; then
        cp -r "$exp/librispeech/base" "$exp/librispeech/$tag"
    fi
    system "$tag" "$@"
}

shape=model.pyramid
system base
system conformer model=conformer-ctc decode=lexicon train.lr=8e-4
system tdnn model=tdnn-ctc decode=lexicon train.lr=1.5e-3
system tdnn-crf model=tdnn-ctc decode=lexicon train.lr=1.5e-3 model.crf_weight=0.9 decode.ctc_prior_weight=0.0 \
    features.cmvn=utterance
system crf model.crf_weight=0.9 decode.ctc_prior_weight=0.0
system char text.tokenizer=char
system unigram text.tokenizer=unigram text.vocab_size=300
system joint model=las text.tokenizer=phone decode=rescoring decode.ctc_weight=0.5
system hidden-384 $shape.hidden=384
system conformer-steady model=conformer-ctc decode=lexicon train.lr=8e-4 model.conformer.layer_drop=0.0
system utterance features.cmvn=utterance
system one-speed augment.speeds=[1.0]
system no-masks augment.time_masks=0 augment.freq_masks=0
system warp augment.warp=0.1
system volume augment.volume_db=10
system noise-rooms augment.noise_share=0.3 augment.reverb_share=0.3
system dropout-0.1 $shape.dropout=0.1
system two-views model.consistency=0.2 train.epochs=3
of_base best-epoch train.average=1
of_base trigram lm.order=3
of_base lm-unpruned-words lm.max_words=200000
of_base lm-entropy-prune lm.entropy_prune=1.2e-7
of_base lm-weight-0.6 decode.lm_weight=0.6
of_base lm-weight-1.4 decode.lm_weight=1.4
if [ "$only" = ".*" ]; then
    asrkit results "$exp/librispeech/default" "${tags[@]}" --title "LibriSpeech, six hours" -o "$exp/librispeech/RESULTS.md"
fi
