"""What every encoder, head and decoder promises, on recorded speech.

New entries of the tables join by themselves. Models are small and drawn at random; nothing drops out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import yaml
from conftest import PROMPTS, ROOT, SENTENCES
from torch import Tensor

from asrkit.config import (
    Config,
    DecodeConfig,
    FeatureConfig,
    ModelConfig,
    TransformerDecoderConfig,
    load_config,
    parse_config,
    validate,
)
from asrkit.config.decoders import DECODERS, decoders_for
from asrkit.errors import UsageError
from asrkit.learning.features.cmvn import Cmvn
from asrkit.learning.features.frontend import Frontend
from asrkit.learning.lm.neural import NeuralLm
from asrkit.learning.models.asr import ATTENTION_DECODERS, ENCODERS, AsrModel, Batch, Loss
from asrkit.learning.models.decoders import decoder_inputs
from asrkit.learning.models.encoded import Encoded
from asrkit.learning.models.weights import load_weights, save_weights
from asrkit.learning.padding import valid_mask
from asrkit.learning.recipe.library import find_recipe, fragments
from asrkit.learning.torch_acoustics import TorchEncoded, TorchTokenModel
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.decoding import MAKERS, Resources
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.language_model import LanguageModel
from asrkit.recognition.ngram.model import NgramModel, estimate
from asrkit.recognition.text.labels import LabelCounts, LabelSet
from asrkit.recognition.text.tokenizer import CharTokenizer

FEATURES = FeatureConfig(mel_bins=12, cmvn="utterance")
HEADS = [["ctc"], ["attention"], ["frame"], ["ctc", "attention"], ["ctc", "attention", "frame"]]
LM = "word-ngram"  # what all decoders can do with, those that need none too
FRAGMENTS = sorted((ROOT / "conf" / "model").glob("*.yaml"))
# Sizes that only cost time; all other options of a section stay.
SMALL = {
    "channels": 4,
    "context": 3,
    "dim": 16,
    "embed": 8,
    "embed_blocks": 1,
    "embed_channels": 8,
    "ff": 24,
    "heads": 2,
    "hidden": 16,
    "kernel": 5,
    "layers": 2,
    "halved": 1,
    "pyramid_layers": 1,
    "dropout": 0.0,
    "layer_drop": 0.0,
}


# ---- the cases


def shrunk(model: ModelConfig) -> ModelConfig:
    """The same model of the sizes in :data:`SMALL`."""
    sections: dict[str, Any] = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    for name, section in sections.items():
        if dataclasses.is_dataclass(section) and not isinstance(section, type):
            sizes = {f.name: getattr(section, f.name) for f in dataclasses.fields(section) if f.name in SMALL}
            sections[name] = dataclasses.replace(
                section, **{key: min(size, SMALL[key]) for key, size in sizes.items()}
            )
    return ModelConfig(**sections)


def variants(model: ModelConfig, name: str) -> Iterator[tuple[str, ModelConfig]]:
    """Every other choice that a section offers, one at a time, and every switch turned."""
    section = getattr(model, name)
    for field in dataclasses.fields(section):
        default = getattr(section, field.name)
        for choice in [not default] if isinstance(default, bool) else field.metadata["choices"]:
            if choice != default:
                changed = dataclasses.replace(section, **{field.name: choice})
                yield f"{field.name}={choice}", dataclasses.replace(model, **{name: changed})


def is_valid(model: ModelConfig) -> bool:
    try:
        validate(Config(model=model, decode=DecodeConfig(decoder=decoders_for(model.heads)[0])))
    except UsageError:
        return False
    return True


def make_cases() -> dict[str, ModelConfig]:
    """All encoders with all heads, each encoder's and decoder's variants, and what conf/model names."""
    actual: dict[str, ModelConfig] = {}
    for encoder, heads in product(ENCODERS, HEADS):
        for decoder in ATTENTION_DECODERS if "attention" in heads else [ModelConfig.decoder]:
            name = " ".join([encoder, "+".join(heads), decoder if "attention" in heads else ""]).strip()
            actual[name] = shrunk(ModelConfig(encoder=encoder, heads=heads, decoder=decoder))
    for encoder in ENCODERS:
        base = shrunk(ModelConfig(encoder=encoder, heads=["ctc"], ctc_frames=2))
        actual |= {f"{encoder} {change}": model for change, model in variants(base, encoder)}
    for decoder in ATTENTION_DECODERS:
        base = shrunk(ModelConfig(encoder="pyramid", heads=["attention"], decoder=decoder))
        actual |= {f"{decoder} {change}": m for change, m in variants(base, f"{decoder}_decoder")}
    actual = {name: model for name, model in actual.items() if is_valid(model)}
    for path in FRAGMENTS:
        content = yaml.safe_load(path.read_text())
        content.pop("with", None)
        whole = {"model": content, "decode": {"decoder": decoders_for(content["heads"])[0]}}
        actual[path.name] = shrunk(parse_config(yaml.safe_dump(whole), path.name).model)
    return actual


CASES = make_cases()


class Speech(NamedTuple):
    """Three recordings with their texts, bigrams of their words, and letters in place of aligned labels."""

    tokenizer: CharTokenizer
    labels: LabelSet
    counts: LabelCounts
    words: NgramModel
    batch: Batch


@pytest.fixture(scope="module")
def speech() -> Speech:
    texts = ["HE WAS NOT AN", "ACTIVATED", "ONE"]
    paths = [SENTENCES / "sense-0880.flac", PROMPTS / "activated.opus", PROMPTS / "digits-1.opus"]
    waves = [torch.from_numpy(read_audio(str(path), FEATURES.sample_rate)[:24000]) for path in paths]
    samples = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
    feats, lens = Frontend(FEATURES)(samples, torch.tensor([len(wave) for wave in waves]))
    feats = Cmvn("utterance")(feats, lens)
    tokenizer = CharTokenizer("char", ["<space>", *sorted(set("".join(texts)) - {" "})])
    names = LabelSet.of(tokenizer)
    ids = [torch.tensor(tokenizer.encode(text)) for text in texts]
    labels = torch.zeros(feats.shape[:2], dtype=torch.int64)
    for row, text in enumerate(texts):
        classes = torch.tensor(names.classes(tokenizer, tokenizer.encode(text.replace(" ", ""))))
        frames = int(lens[row])
        labels[row, :frames] = classes[torch.arange(frames) * len(classes) // frames]
    counts = LabelCounts.of([labels[i, :n].numpy() for i, n in enumerate(lens)], len(names.names))
    tokens = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
    token_lens = torch.tensor([len(i) for i in ids])
    words = estimate([text.split() for text in texts], 2)
    batch = Batch(["a", "b", "c"], feats, lens, tokens, token_lens, labels)
    return Speech(tokenizer, names, counts, words, batch)


def make_model(config: ModelConfig, speech: Speech, seed: int = 0) -> AsrModel:
    torch.manual_seed(seed)
    model = AsrModel(config, FEATURES.dim, len(speech.tokenizer.tokens), len(speech.labels.names))
    with torch.no_grad():
        model.train().loss(speech.batch)  # running averages have seen something
    return model.eval()


@pytest.fixture(scope="module", params=CASES)
def model(request: pytest.FixtureRequest, speech: Speech) -> AsrModel:
    return make_model(CASES[request.param], speech)


def part(batch: Batch, row: int) -> Batch:
    """One utterance of a batch, alone."""
    frames, length = int(batch.feat_lens[row]), int(batch.token_lens[row])
    assert batch.labels is not None
    return Batch(
        batch.ids[row : row + 1],
        batch.feats[row : row + 1, :frames],
        batch.feat_lens[row : row + 1],
        batch.tokens[row : row + 1, :length],
        batch.token_lens[row : row + 1],
        batch.labels[row : row + 1, :frames],
    )


def outputs(model: AsrModel, batch: Batch) -> dict[str, list[Tensor]]:
    """Log posteriors of every head, of each utterance without its padding."""
    encoded = model.encode(batch.feats, batch.feat_lens)
    actual = {"encoder": (encoded.out, encoded.lens)}
    if "ctc" in model.heads:
        actual["ctc"] = model.ctc_log_probs(encoded)
    if "frame" in model.heads:
        actual["frame"] = model.frame_log_probs(encoded), encoded.lens
    if "attention" in model.heads:
        logits = model.decoder(decoder_inputs(batch.tokens, model.eos), encoded)
        actual["attention"] = logits.log_softmax(dim=-1), batch.token_lens + 1
    return {
        name: [out[row, :length] for row, length in enumerate(lens.tolist())]
        for name, (out, lens) in actual.items()
    }


# ---- models


def test_every_table_entry_is_a_case() -> None:
    assert {model.encoder for model in CASES.values()} == ENCODERS.keys()
    assert {m.decoder for m in CASES.values() if "attention" in m.heads} == ATTENTION_DECODERS.keys()
    assert {name for model in CASES.values() for name in decoders_for(model.heads, LM)} == DECODERS.keys()


@pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)
def test_every_fragment_suits_a_recipe(path: Path) -> None:
    recipe = find_recipe("prompts")
    config = load_config(recipe, (f"model={path.stem}",), fragments(recipe))
    assert DECODERS[config.decode.decoder].needs <= set(config.model.heads)


@torch.no_grad()
def test_shapes_are_as_announced(model: AsrModel, speech: Speech) -> None:
    batch = speech.batch
    encoded = model.encode(batch.feats, batch.feat_lens)
    assert encoded.out.shape == (3, int(encoded.lens.max()), model.encoder.dim)
    assert torch.equal(encoded.lens, model.encoder.output_frames(batch.feat_lens))
    for row, frames in enumerate(batch.feat_lens.tolist()):
        assert 0 <= int(encoded.lens[row]) * model.stride - frames < 2 * model.stride
    actual = outputs(model, batch)
    sizes = {
        "ctc": (model.output_frames, model.vocab),
        "frame": (
            lambda frames: int(model.encoder.output_frames(torch.tensor(frames))),
            len(speech.labels.names),
        ),
    }
    for head in model.heads & sizes.keys():
        count, width = sizes[head]
        assert [tuple(out.shape) for out in actual[head]] == [
            (count(frames), width) for frames in batch.feat_lens.tolist()
        ]
    if "attention" in model.heads:
        assert [tuple(out.shape) for out in actual["attention"]] == [
            (length + 1, model.vocab) for length in batch.token_lens.tolist()
        ]
    for head in model.heads:
        for out in actual[head]:
            assert out.dtype == torch.float32
            torch.testing.assert_close(out.exp().sum(dim=-1), torch.ones(len(out)))


@torch.no_grad()
def test_neither_padding_nor_company_changes_a_result(model: AsrModel, speech: Speech) -> None:
    batch = speech.batch
    longer = torch.nn.functional.pad(batch.feats, (0, 0, 0, 37))
    noise = 1e3 * torch.randn(longer.shape, generator=torch.Generator().manual_seed(1))
    padding = ~valid_mask(batch.feat_lens, longer.shape[1])[..., None]
    poisoned = dataclasses.replace(batch, feats=torch.where(padding, noise, longer))
    together, beside = outputs(model, batch), outputs(model, poisoned)
    for row in range(3):
        alone = outputs(model, part(batch, row))
        for name, (expected,) in alone.items():
            for actual in (together, beside):
                torch.testing.assert_close(actual[name][row], expected, atol=2e-5, rtol=1e-4)
    encoded = model.encode(poisoned.feats, poisoned.feat_lens)
    assert not encoded.out[~valid_mask(encoded.lens, encoded.out.shape[1])].any()


@torch.no_grad()
def test_saved_weights_give_the_same_bits(model: AsrModel, speech: Speech, tmp_path: Path) -> None:
    first = model.loss(speech.batch).utterances
    assert torch.equal(first, model.loss(speech.batch).utterances)
    other = make_model(model.config, speech, seed=1)
    assert not torch.equal(first, other.loss(speech.batch).utterances)
    save_weights(model.state_dict(), tmp_path)
    load_weights(tmp_path / "model.safetensors", other)
    assert torch.equal(first, other.loss(speech.batch).utterances)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_loss_of_a_batch_is_the_sum_of_its_utterances(model: AsrModel, speech: Speech) -> None:
    whole = model.loss(speech.batch)
    single = [model.loss(part(speech.batch, row)) for row in range(3)]
    torch.testing.assert_close(whole.utterances, torch.cat([s.utterances for s in single]), rtol=1e-4, atol=0)
    torch.testing.assert_close(whole.total, whole.utterances.sum())
    assert whole.weight == 3 and whole.parts.keys() == model.heads
    for name, loss in whole.parts.items():
        assert float(loss) > 0
        torch.testing.assert_close(loss, sum(s.parts[name] for s in single), rtol=1e-4, atol=0)


def test_gradient_reaches_every_parameter_and_no_padding(model: AsrModel, speech: Speech) -> None:
    batch = dataclasses.replace(speech.batch, feats=speech.batch.feats.clone().requires_grad_())
    model.zero_grad()
    model.loss(batch).total.backward()
    largest = {
        name: 0.0 if parameter.grad is None else float(parameter.grad.abs().max())
        for name, parameter in model.named_parameters()
    }
    # Scores that all change by the same amount change no softmax.
    idle = {"decoder.attention.key.bias"} if model.config.lstm_decoder.attention == "dot" else set()
    assert [name for name, size in largest.items() if size < 1e-7 and name not in idle] == []
    assert batch.feats.grad is not None
    assert (
        batch.feats.grad[0].any()
        and not batch.feats.grad[~valid_mask(batch.feat_lens, batch.feats.shape[1])].any()
    )


def test_half_precision_is_close(model: AsrModel, speech: Speech) -> None:
    exact = model.loss(speech.batch)
    with torch.autocast("cpu", torch.bfloat16):
        loss: Loss = model.loss(speech.batch)
        rounded = outputs(model, speech.batch)
    torch.testing.assert_close(loss.utterances, exact.utterances, rtol=0.02, atol=0)
    expected = outputs(model, speech.batch)
    for head in model.heads:
        for one, two in zip(rounded[head], expected[head], strict=True):
            torch.testing.assert_close(one, two, atol=0.1, rtol=0)
    model.zero_grad()
    loss.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@torch.no_grad()
def test_no_frames_and_one_frame(model: AsrModel, speech: Speech) -> None:
    whole = speech.batch
    lens = torch.tensor([0, 1, 2])
    for frames in (0, 1, 2):
        feats = whole.feats[:1, :frames]
        encoded = model.encode(feats, torch.tensor([frames]))
        assert int(encoded.lens[0]) == int(model.encoder.output_frames(torch.tensor(frames)))
        assert (frames == 0) == (int(encoded.lens[0]) == 0)
        assert encoded.out.isfinite().all()
    batch = dataclasses.replace(whole, feat_lens=lens)
    actual = model.loss(batch)
    for head in model.heads - {"ctc"}:
        assert actual.parts[head].isfinite()
    for outs in outputs(model, batch).values():
        assert all(out.isfinite().all() for out in outs)


# ---- decoders


def resources(model: AsrModel, speech: Speech, lm: LanguageModel | None = None, **settings: Any) -> Resources:
    seconds = FEATURES.shift_ms / 1000 * model.stride
    decode = DecodeConfig(**{"beam_size": 4, "nbest": 4, "lm_weight": 0.3} | settings)
    lm = lm or LanguageModel(LM, ngram=speech.words)
    return Resources(
        model, speech.tokenizer, decode, seconds, lm=lm, labels=speech.labels, counts=speech.counts
    )


def search(name: str, given: Resources, encoded: Encoded) -> list[list[Hypothesis]]:
    assert isinstance(given.model, AsrModel)
    return MAKERS[name](given)(TorchEncoded(given.model, encoded))


@torch.no_grad()
def test_hypotheses_of_every_decoder(model: AsrModel, speech: Speech) -> None:
    """Utterances of 30, 17, 1 and 0 frames, together and each alone."""
    lens = torch.tensor([30, 17, 1, 0])
    feats = speech.batch.feats[[0, 1, 2, 0], 20:50]
    encoded = model.encode(feats, lens)
    for name in decoders_for(model.heads, LM):
        given = resources(model, speech)
        actual = search(name, given, encoded)
        assert len(actual) == 4
        for row, nbest in enumerate(actual):
            frames = int(encoded.lens[row])
            assert_nbest(nbest, 4 if DECODERS[name].beam else 1, frames * given.frame_seconds)
            # CTC may emit the end token as any other; decoders that end by it may not.
            highest = model.eos - 1 if "attention" in DECODERS[name].needs else model.eos
            assert all(0 < token <= highest for h in nbest for token in h.tokens)
            if DECODERS[name].words:
                words = [word for h in nbest for word in h.words or ()]
                assert {word for word, *_ in words} <= {*given.lm.ngram.vocabulary}  # type: ignore[union-attr]
                assert all(begin < end for _, begin, end in words)
            if frames == 0:
                assert nbest[0].tokens == ()
            alone = model.encode(feats[row : row + 1, : lens[row]], lens[row : row + 1])
            (again,) = search(name, given, alone)
            assert [h.tokens for h in again] == [h.tokens for h in nbest]
            assert [h.score for h in again] == pytest.approx([h.score for h in nbest], abs=1e-3)


def assert_nbest(nbest: list[Hypothesis], most: int, seconds: float) -> None:
    """`nbest` is sorted and without doubles; times are in order and within the utterance."""
    assert 1 <= len(nbest) <= most
    assert all(a.score >= b.score for a, b in pairwise(nbest))
    assert len({h.tokens for h in nbest}) == len(nbest)
    for h in nbest:
        assert np.isfinite(h.score) and all(np.isfinite(list(h.parts.values())))
        assert 0 <= h.confidence <= 1
        assert h.token_confidence.shape == (len(h.tokens),) and h.times.shape == (len(h.tokens), 2)
        assert ((h.token_confidence >= 0) & (h.token_confidence <= 1)).all()
        assert (h.times[:, 0] <= h.times[:, 1]).all() and (np.diff(h.times, axis=0) >= 0).all()
        assert (h.times >= 0).all() and (h.times <= seconds + 1e-4).all()


TINY_TOKENS = CharTokenizer("char", ["A", "B"])


@pytest.mark.parametrize("name", [name for name in CASES if " " in name and "=" not in name])
def test_a_wide_beam_finds_at_least_what_is_found_greedily(name: str, speech: Speech) -> None:
    torch.manual_seed(3)
    model = AsrModel(CASES[name], FEATURES.dim, len(TINY_TOKENS.tokens), 3).eval()
    for parameter in model.parameters():
        parameter.data *= 2.0  # posteriors that are far from even
    given = speech._replace(tokenizer=TINY_TOKENS)
    with torch.no_grad():
        encoded = model.encode(speech.batch.feats[:, 20:26], torch.tensor([6, 5, 3]))
    for decoder in decoders_for(model.heads):
        if DECODERS[decoder].beam:
            best = search(decoder, resources(model, given, beam_size=2000, nbest=1), encoded)
            narrow = search(decoder, resources(model, given, beam_size=1, nbest=1), encoded)
            greedy = narrow
            if (fast := f"{decoder.split('-')[0]}-greedy") in DECODERS:
                greedy = search(fast, resources(model, given), encoded)
            for row in range(3):
                assert best[row][0].score >= narrow[row][0].score - 1e-5
                assert best[row][0].score >= greedy[row][0].score - 1e-5
            if decoder.startswith("attention"):
                assert [n[0].tokens for n in narrow] == [g[0].tokens for g in greedy]
                assert [n[0].score for n in narrow] == pytest.approx([g[0].score for g in greedy], abs=1e-5)


@pytest.mark.parametrize("look_back", ["attention", "lstm"])
@pytest.mark.parametrize(
    "decoder", [d.name for d in DECODERS.values() if "attention" in d.needs and d.beam and not d.lm]
)
def test_neural_language_models_join_the_beam(decoder: str, look_back: str, speech: Speech) -> None:
    model = make_model(shrunk(ModelConfig(heads=["ctc", "attention"])), speech)
    torch.manual_seed(5)
    shape = TransformerDecoderConfig(dim=16, layers=1, heads=2, ff=16, dropout=0.0, look_back=look_back)
    network = NeuralLm(shape, model.vocab).eval()
    lm = LanguageModel("transformer", network=TorchTokenModel(network.decoder, network.eos))
    with torch.no_grad():
        encoded = model.encode(speech.batch.feats[:1, :40], torch.tensor([40]))
    for weight in (0.0, 0.7):
        ((best, *_),) = search(decoder, resources(model, speech, lm, lm_weight=weight), encoded)
        ctc = 0.3 if "ctc" in DECODERS[decoder].needs else 0.0
        shares = {"attention": 1 - ctc, "ctc": ctc, "lm": weight, "loops": 0.0}
        expected = sum(shares[name] * part for name, part in best.parts.items())
        assert best.score == pytest.approx(expected, abs=1e-4)
        assert ("lm" in best.parts) == (weight > 0)
        if weight:
            tokens = torch.tensor([best.tokens])
            text = Batch([""], torch.zeros(1, 0, 0), torch.zeros(1), tokens, torch.tensor([len(best.tokens)]))
            with torch.no_grad():
                assert best.parts["lm"] == pytest.approx(-float(network.loss(text).total), abs=1e-4)


def test_every_decoder_has_its_search() -> None:
    assert MAKERS.keys() == DECODERS.keys()
