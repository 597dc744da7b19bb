#!/usr/bin/env bash
# One change at a time to size=small, six epochs each: some twelve minutes on one core, four hours for all; what is done
# is not done again. Two may run at once: compare.sh EXP 'base|char|…' takes some of them.
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
    asrkit train "$here" --exp "$exp" --tag "$tag" size=small train.epochs=6 "$@" decode.tune={}
}

# The same training, of which something after it changes.
decoding() {
    local tag=$1
    shift
    if [[ $tag =~ ^($only)$ ]] && [ ! -d "$exp/librispeech/$tag" ]; then
        cp -r "$exp/librispeech/base" "$exp/librispeech/$tag"
    fi
    system "$tag" "$@"
}

system base
system seed-2 seed=2
# Units
system char text.tokenizer=char
system unigram text.tokenizer=unigram text.vocab_size=300
# Losses
system joint model.heads=[attention,ctc] model.transformer_decoder.dim=192 model.transformer_decoder.ff=768 \
    model.transformer_decoder.layers=2 model.ctc_weight=0.5
system crf model.crf_weight=0.9 decode.ctc_prior_weight=0.0
system two-views model.consistency=0.2 train.epochs=3
# Encoders
system smaller model.tdnn.dim=128 model.tdnn.hidden=384 model.tdnn.layers=6
system larger model.tdnn.dim=256 model.tdnn.hidden=1024 model.tdnn.layers=10
system pyramid model=pyramid-ctc decode=lexicon model.pyramid.embed_stride=4 model.ctc_frames=2
system conformer model=conformer-ctc decode=lexicon train.lr=8e-4
# Regularisation
system no-dropout model.tdnn.dropout=0.0
system depth model.tdnn.dropout=0.0 model.tdnn.layer_drop=0.1
decoding last-epoch train.average=1
# What the model hears
system no-masks augment.time_masks=0 augment.freq_masks=0
system one-speed augment.speeds=[1.0]
system warp augment.warp=0.1
system volume augment.volume_db=10
system noise-rooms augment.noise_share=0.3 augment.reverb_share=0.3
system utterance features.cmvn=utterance
# Language model and decoder
decoding lm-trigram lm.order=3 lm.prune=[0,0,1]
decoding lm-pruned lm.entropy_prune=1.2e-7
decoding lm-200k-words lm.max_words=200000
decoding lm-weight-0.6 decode.lm_weight=0.6
decoding lm-weight-1.4 decode.lm_weight=1.4
decoding no-prior decode.ctc_prior_weight=0.0
if [ "$only" = '.*' ]; then
    asrkit results "${tags[@]}" --brief --title "LibriSpeech, six hours: one change at a time (dev-4spk: too good, see README.md)" -o "$exp/librispeech/COMPARED.md"
fi
