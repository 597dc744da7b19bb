"""Speed of training a Conformer with CTC, beside SpeechBrain's of the same shape, on the CPU.

    python benchmarks/training_speed.py [--threads 1] [--repeats 7] [--lengths short long]

One update is forward, CTC loss, backward, gradient clipping and a step of AdamW; features are ready before
the clock starts. All systems take turns on the same batches, those that asrkit's training makes of the
recordings of recipes/prompts: "short" ones of 1 to 7 s, as in AN4, and "long" ones strung together to at
most 16 s, as in LibriSpeech. Every repetition has the batches of another epoch. Frames are padded to a
multiple of 16 and oneDNN keeps its compiled products, so that in a long training every shape has been met
before; here each batch is met once before the clock starts. `--multiple 1 --cold` is the other extreme: every
shape is new. Figures are medians over repetitions of seconds of audio, without padding, per second: of
processor time with one thread (busy neighbours cost little), else of wall-clock time. A ratio is the median
of the repetitions' ratios to SpeechBrain in the precision that its column names.

"equal" is asrkit with SpeechBrain's shape, subsampling and dropout; "preset" is
conf/model/conformer-ctc.yaml. SpeechBrain's model is the encoder and the CTC head of its recipe
LibriSpeech/ASR/transformer, conformer_small.yaml, with a feed-forward width of 576 instead of 1024 on both
sides. ESPnet's encoder takes part where it is installed (`pip install --no-deps espnet typeguard==2.13.3`
will do). SpeechBrain's and ESPnet's models are trained by the same AdamW, asrkit's by the one it makes.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from asrkit.cli.process import keep_freed_memory
from asrkit.config import ConformerConfig, FeatureConfig, ModelConfig, TextConfig, TrainConfig
from asrkit.learning.features.cmvn import Cmvn
from asrkit.learning.features.frontend import Frontend
from asrkit.learning.hardware import autocast
from asrkit.learning.models.asr import AsrModel, Batch
from asrkit.learning.padding import pad_tokens
from asrkit.learning.training.data import Changes, Item, Source
from asrkit.learning.training.update import make_optimizer
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.normalize import english
from asrkit.recognition.text.tokenizer import build_tokenizer

ROOT = Path(__file__).parent.parent
RECORDINGS = ROOT / "recipes" / "prompts" / "data"
RATE = 16000
FEATURES = FeatureConfig()
SHAPE: dict[str, Any] = {"dim": 144, "layers": 12, "heads": 4, "ff": 576, "kernel": 31, "dropout": 0.1}
CPU = torch.device("cpu")


class Recordings(Source):
    """Utterances with their features in memory; frames are padded to a multiple of `multiple`."""

    def __init__(self, waves: Sequence[np.ndarray], texts: Sequence[str], multiple: int) -> None:
        self.multiple = multiple
        tokenizer = build_tokenizer(TextConfig(), texts)
        seconds = [len(wave) / RATE for wave in waves]
        utterances = [
            Utterance(str(number), "", 0.0, length, text, "")
            for number, (length, text) in enumerate(zip(seconds, texts, strict=True))
        ]
        super().__init__(utterances, [tokenizer.encode(text) for text in texts], seconds)
        self.vocab = len(tokenizer.tokens)
        frontend, cmvn = Frontend(FEATURES), Cmvn("utterance")
        self.features = []
        for wave in waves:
            feats, lens = frontend(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
            self.features.append(cmvn(feats, lens)[0])

    def batch(self, items: Sequence[Item], changes: Changes | None = None) -> Batch:
        rows = [self.features[place] for place, _ in items]
        feats = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        tokens, token_lens = pad_tokens([self.tokens[place] for place, _ in items])
        return Batch(
            ids=[self.utterances[place].id for place, _ in items],
            feats=nn.functional.pad(feats, (0, 0, 0, -feats.shape[1] % self.multiple)),
            feat_lens=torch.tensor([len(row) for row in rows]),
            tokens=tokens,
            token_lens=token_lens,
            seconds=sum(self.seconds[place] for place, _ in items),
        )


def recordings(lengths: str, multiple: int) -> Recordings:
    """``short``: each recording of 1 to 7 s; ``long``: neighbours strung together to at most 16 s."""
    lines = (RECORDINGS / "transcripts.tsv").read_text(encoding="utf-8").splitlines()
    waves, texts = [np.zeros(0, np.float32)], [""]
    for name, _, text in (line.split("\t") for line in lines):
        wave = read_audio(str(RECORDINGS / "audio" / f"{name}.opus"), RATE)
        if not RATE <= len(wave) <= 7 * RATE:
            continue
        if lengths == "long" and len(waves[-1]) + len(wave) <= 16 * RATE:
            waves[-1], texts[-1] = np.concatenate([waves[-1], wave]), f"{texts[-1]} {english(text)}".strip()
        else:
            waves.append(wave)
            texts.append(english(text))
    first = 0 if lengths == "long" else 1
    return Recordings(waves[first:], texts[first:], multiple)


class SpeechBrainConformer(nn.Module):
    """SpeechBrain's recipe without its attention decoder: features to the summed CTC loss."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
        from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
        from speechbrain.nnet.linear import Linear

        self.front_end = ConvolutionFrontEnd(
            input_shape=(None, None, FEATURES.dim),
            num_blocks=2,
            num_layers_per_block=1,
            out_channels=(64, 32),
            kernel_sizes=(3, 3),
            strides=(2, 2),
            residuals=(False, False),
        )
        self.transformer = TransformerASR(
            tgt_vocab=vocab,
            input_size=FEATURES.dim // 4 * 32,
            d_model=SHAPE["dim"],
            nhead=SHAPE["heads"],
            num_encoder_layers=SHAPE["layers"],
            num_decoder_layers=0,
            d_ffn=SHAPE["ff"],
            dropout=SHAPE["dropout"],
            activation=nn.GELU,
            encoder_module="conformer",
            attention_type="RelPosMHAXL",
            kernel_size=SHAPE["kernel"],
            normalize_before=True,
            causal=False,
        )
        self.ctc = Linear(input_size=SHAPE["dim"], n_neurons=vocab)

    def forward(self, batch: Batch) -> Tensor:
        from speechbrain.nnet.losses import ctc_loss

        lens = batch.feat_lens / batch.feats.shape[1]
        encoded = self.transformer.encode(self.front_end(batch.feats), lens)
        log_probs = self.ctc(encoded).log_softmax(dim=-1)
        token_lens = batch.token_lens / batch.tokens.shape[1]
        loss: Tensor = ctc_loss(log_probs, batch.tokens, lens, token_lens, blank_index=0, reduction="sum")
        return loss


class EspnetConformer(nn.Module):
    """ESPnet's Conformer encoder of the same shape, with its usual relative positions, and a CTC head."""

    def __init__(self, vocab: int) -> None:
        super().__init__()
        from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

        self.encoder = ConformerEncoder(
            input_size=FEATURES.dim,
            output_size=SHAPE["dim"],
            attention_heads=SHAPE["heads"],
            linear_units=SHAPE["ff"],
            num_blocks=SHAPE["layers"],
            dropout_rate=SHAPE["dropout"],
            positional_dropout_rate=SHAPE["dropout"],
            input_layer="conv2d",
            macaron_style=True,
            rel_pos_type="latest",
            pos_enc_layer_type="rel_pos",
            selfattention_layer_type="rel_selfattn",
            activation_type="swish",
            cnn_module_kernel=SHAPE["kernel"],
        )
        self.ctc = nn.Linear(SHAPE["dim"], vocab)

    def forward(self, batch: Batch) -> Tensor:
        encoded, lens, _ = self.encoder(batch.feats[:, : int(batch.feat_lens.max())], batch.feat_lens)
        log_probs = self.ctc(encoded).float().log_softmax(dim=-1).transpose(0, 1)
        return nn.functional.ctc_loss(log_probs, batch.tokens, lens, batch.token_lens, reduction="sum")


class System:
    """A model that is trained: its name, precision and optimiser."""

    def __init__(self, name: str, model: nn.Module, precision: str) -> None:
        self.name, self.precision = name, precision
        self.model = model.train()
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        config = TrainConfig()
        self.clip = config.clip
        self.optimizer = (
            make_optimizer(model, config)
            if isinstance(model, AsrModel)
            else torch.optim.AdamW(model.parameters(), lr=config.lr, betas=(0.9, 0.98))
        )

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def update(self, batch: Batch) -> None:
        with autocast(CPU, self.dtype):
            loss = self.model(batch)
        total = loss if isinstance(loss, Tensor) else loss.total
        (total / len(batch.ids)).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def systems(vocab: int) -> Iterator[System]:
    equal = ConformerConfig(subsampling="conv2d", factor=4, channels=64, **SHAPE)
    preset = yaml.safe_load((ROOT / "conf" / "model" / "conformer-ctc.yaml").read_text(encoding="utf-8"))
    preset.pop("with", None)
    preset["conformer"] = ConformerConfig(**preset["conformer"])
    models = {
        "equal": ModelConfig(encoder="conformer", heads=["ctc"], conformer=equal),
        "preset": ModelConfig(**preset),
    }
    for precision in ("fp32", "bf16"):
        yield System("SpeechBrain", SpeechBrainConformer(vocab), precision)
        if importlib.util.find_spec("espnet2"):
            yield System("ESPnet", EspnetConformer(vocab), precision)
        for name, config in models.items():
            yield System(f"asrkit, {name}", AsrModel(config, FEATURES.dim, vocab), precision)


def measure(rivals: list[System], data: Recordings, args: argparse.Namespace) -> list[list[float]]:
    """Seconds of audio per second of each system, [system][repetition]."""
    clock = time.process_time if args.threads == 1 else time.perf_counter
    epochs = [
        [data.batch(items) for items in data.plan(args.batch_seconds, epoch=epoch)[: args.batches]]
        for epoch in range(args.repeats + 1)
    ]
    for rival in rivals:
        for batch in epochs[0] if args.cold else itertools.chain(*epochs):
            rival.update(batch)
    speeds: list[list[float]] = [[] for _ in rivals]
    for batches in epochs[1:]:
        taken = [0.0] * len(rivals)
        for turn, batch in enumerate(batches):
            for place in range(len(rivals)):
                at = (place + turn) % len(rivals)
                start = clock()
                rivals[at].update(batch)
                taken[at] += clock() - start
        for rates, seconds in zip(speeds, taken, strict=True):
            rates.append(sum(batch.seconds for batch in batches) / seconds)
    return speeds


def report(rivals: list[System], speeds: list[list[float]], lengths: str, args: argparse.Namespace) -> None:
    peers = [rates for rival, rates in zip(rivals, speeds, strict=True) if rival.name == "SpeechBrain"]
    for rival, rates in zip(rivals, speeds, strict=True):
        ratios = [
            statistics.median(own / other for own, other in zip(rates, peer, strict=True)) for peer in peers
        ]
        print(
            f"| {lengths} | {args.threads} | {rival.name} | {rival.parameters / 1e6:.1f} | {rival.precision} "
            f"| {statistics.median(rates):.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-seconds", type=float, default=60, help="seconds in a batch, with padding")
    parser.add_argument("--batches", type=int, default=4, help="batches of a repetition")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--multiple", type=int, default=16, help="frames are padded to a multiple of this")
    parser.add_argument("--cold", action="store_true", help="meet every batch for the first time")
    parser.add_argument("--lengths", nargs="+", choices=("short", "long"), default=["short", "long"])
    args = parser.parse_args()
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")  # read at oneDNN's first use
    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as asrkit's training does; here for every system
    torch.set_flush_denormal(True)  # likewise
    print("| audio | threads | system | M parameters | precision | audio-s/s | × fp32 peer | × bf16 peer |")
    print("|---|---:|---|---:|---|---:|---:|---:|")
    for lengths in args.lengths:
        torch.manual_seed(0)
        data = recordings(lengths, args.multiple)
        rivals = list(systems(data.vocab))
        report(rivals, measure(rivals, data, args), lengths, args)


if __name__ == "__main__":
    main()
