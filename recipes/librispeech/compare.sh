#!/usr/bin/env bash
# One change at a time to size=small, ten epochs each: a quarter of an hour on one core, some five hours for all; what is
# done is not done again. Two may run at once: compare.sh EXP 'small|char|…' takes some of them.
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
    asrkit train "$here" --exp "$exp" --tag "$tag" size=small "$@" decode.tune={}
}

# The same training, of which something after it changes.
decoding() {
    local tag=$1
    shift
    if [[ $tag =~ ^($only)$ ]] && [ ! -d "$exp/librispeech/$tag" ]; then
        cp -r "$exp/librispeech/small" "$exp/librispeech/$tag"
    fi
    system "$tag" "$@"
}

system small
system small-seed-2 seed=2
# Units
system char text.tokenizer=char
system unigram text.tokenizer=unigram text.vocab_size=300
# Losses
system crf model.crf_weight=0.9 decode.ctc_prior_weight=0.0
system joint model.heads=[attention,ctc] model.decoder=lstm model.ctc_weight=0.5 decode=rescoring decode.ctc_weight=0.5
system two-views model.consistency=0.2 train.epochs=5
# Encoders
system larger model.tdnn.dim=256 model.tdnn.hidden=1024 model.tdnn.layers=10
system pyramid model=pyramid-ctc decode=lexicon model.pyramid.embed_stride=4 model.ctc_frames=2 train.batch_seconds=256
system conformer model=conformer-ctc decode=lexicon train.lr=8e-4
# Regularisation
system no-dropout model.tdnn.dropout=0.0
system depth model.tdnn.dropout=0.0 model.tdnn.layer_drop=0.1
system best-epoch train.average=1
# What the model hears
system no-masks augment.time_masks=0 augment.freq_masks=0
system more-masks augment.time_masks=8 augment.freq_width=25
system one-speed augment.speeds=[1.0]
system warp augment.warp=0.1
system volume augment.volume_db=10
system noise-rooms augment.noise_share=0.3 augment.reverb_share=0.3
system utterance features.cmvn=utterance
# Language model and decoder
decoding lm-trigram lm.order=3
decoding lm-pruned lm.entropy_prune=1.2e-7
decoding lm-200k-words lm.max_words=200000
decoding lm-weight-0.6 decode.lm_weight=0.6
decoding lm-weight-1.4 decode.lm_weight=1.4
decoding no-prior decode.ctc_prior_weight=0.0
if [ "$only" = '.*' ]; then
    asrkit results "${tags[@]}" --title "LibriSpeech, six hours: one change at a time" -o "$exp/librispeech/COMPARED.md"
fi
