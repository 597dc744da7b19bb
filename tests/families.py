"""Every family of models in miniature, and a few of the shortest prompts to train them on."""

from __future__ import annotations

import shutil
from pathlib import Path

from conftest import PROMPTS

COUNTS = {"train": 24, "dev": 2, "test": 2}
QUICK = [
    "features.mel_bins=16",
    "augment.speeds=[1.0]",
    "train.epochs=1",
    "train.max_steps=6",
    "train.log_steps=1",
    "train.batch_seconds=3",
    "train.warmup_steps=2",
    "train.attention_maps=1",
    "decode.beam_size=2",
    "score.bootstrap=20",
]
PYRAMID = ["model.pyramid.hidden=16", "model.pyramid.embed_channels=16"]
ENCODER = ["model.transformer.dim=16", "model.transformer.layers=2", "model.transformer.heads=2"]
DECODER = [f"model.transformer_decoder.{size}" for size in ("dim=16", "layers=1", "heads=2", "ff=24")]
FAMILIES = {
    "las": ["model=las", *PYRAMID, "model.lstm_decoder.hidden=16", "model.lstm_decoder.embed=8"],
    "transformer": ["model=transformer", *ENCODER, "model.transformer.ff=24", *DECODER],
    "transformer-lstm": ["model=transformer-lstm", *ENCODER, "model.transformer.ff=24", *DECODER],
    "conformer-ctc": [
        "model=conformer-ctc",
        *[f"model.conformer.{size}" for size in ("dim=16", "layers=2", "halved=1", "heads=2", "ff=24")],
    ],
    "tdnn": ["model=tdnn-ctc", *[f"model.tdnn.{size}" for size in ("dim=16", "layers=2", "hidden=24")]],
    "crf": ["model=pyramid-ctc-tiny", *PYRAMID, "model.crf_weight=0.9", "train.epochs=2"],
    "mlp": [
        "model=mlp",
        "model.mlp.hidden=16",
        "model.mlp.context=3",
        "align.model=ctc",
        "decode.tune.lm_weight=[1.0]",
        "decode.tune.prior_weight=[0.2,0.5]",
    ],
}
CTC = ["model=pyramid-ctc-tiny", *PYRAMID]


def small_recipe(folder: Path) -> Path:
    """A recipe like recipes/prompts, of a few of its recordings."""
    (folder / "data").mkdir(parents=True)
    shutil.copy(PROMPTS.parents[1] / "recipe.yaml", folder)
    (folder / "data" / "audio").symlink_to(PROMPTS)
    lines = (PROMPTS.parent / "transcripts.tsv").read_text().splitlines()
    lines.sort(key=lambda line: (PROMPTS / f"{line.split()[0]}.opus").stat().st_size)
    kept = [
        line
        for subset, count in COUNTS.items()
        for line in [line for line in lines if line.split("\t")[1] == subset][:count]
    ]
    (folder / "data" / "transcripts.tsv").write_text("\n".join(kept) + "\n")
    return folder
