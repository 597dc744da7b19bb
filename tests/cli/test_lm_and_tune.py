"""Language models and tuned weights: the stages lm and tune, and what decoding makes of them."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from conftest import PROMPTS, Run
from families import CTC, FAMILIES, QUICK, small_recipe
from safetensors.numpy import load, save

from asrkit.config import neural_lm_shape, parse_config, with_weights
from asrkit.learning.data.manifest import read_manifest
from asrkit.learning.lm.neural import NeuralLm, read_network
from asrkit.learning.torch_acoustics import TorchAcoustics, TorchEncoded
from asrkit.learning.training.data import TextSource
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.bundle import Bundle
from asrkit.recognition.recognizer import Recognizer
from asrkit.recognition.scoring.score import score_texts
from asrkit.recognition.stored_lm import WEIGHTS

SOUND = PROMPTS / "activated.opus"
GRID = {"lm_weight": [0.0, 0.8], "ctc_weight": [0.1, 0.6], "length_bonus": [1.5]}
LM = [f"lm.model.{size}" for size in ("dim=16", "layers=1", "heads=2", "ff=24", "dropout=0.0")]
# At a learning rate of zero everything stays as it was when training began.
NEURAL = {
    "transformer": [
        *FAMILIES["transformer"],
        "lm.kind=transformer",
        "model.decoder_from_lm=true",
        "model.lm_share=0.5",
        "train.lr=0",
        *[f"decode.tune.{name}={values}".replace(" ", "") for name, values in GRID.items()],
        "score.units=[char]",
        "decode.also=[attention-beam]",
    ],
    "lstm": [
        *FAMILIES["transformer-lstm"],
        "lm.kind=lstm",
        "model.decoder_from_lm=true",
        "train.lr=0",
        "decode.decoder=attention-beam",
        "decode.also=[]",
    ],
}
LM_TRAIN = ["lm.train.epochs=1", "lm.train.batch_seconds=1", "lm.train.lr=0.01", "lm.train.warmup_steps=5"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_recipe(tmp_path_factory.mktemp("recipes") / "small")


def train(recipe: Path, asrkit: Run, tag: str, *words: str) -> Path:
    """The folder of an experiment; what is done there already stays."""
    done = asrkit("train", recipe, "--exp", recipe / "exp", "--tag", tag, *QUICK, *words)
    assert done.code == 0, done.err
    return recipe / "exp" / "small" / tag


def neural(recipe: Path, asrkit: Run, kind: str) -> Path:
    return train(recipe, asrkit, kind, *NEURAL[kind], *LM, *LM_TRAIN)


def words_model(recipe: Path, asrkit: Run) -> Path:
    lexicon = ["lm.kind=word-ngram", "lm.order=2", "decode.decoder=ctc-lexicon", "decode.also=[ctc-greedy]"]
    return train(recipe, asrkit, "words", *CTC, *lexicon)


RESCORER = [
    "lm.rescorer.kind=lstm",
    "lm.rescorer.vocab_size=40",
    "lm.rescorer.max_lines=20",
    *[f"lm.rescorer.{word.removeprefix('lm.')}" for word in [*LM, *LM_TRAIN]],
]


def second_pass(recipe: Path, asrkit: Run, *words: str) -> Path:
    lexicon = ["lm.kind=word-ngram", "lm.order=2", "decode.decoder=ctc-lexicon", "decode.also=[]"]
    options = ["decode.rescorer_share=0.5", "decode.rescorer_nbest=8", "decode.beam_size=8"]
    return train(recipe, asrkit, "second", *CTC, *lexicon, *RESCORER, *options, *words)


def network(folder: Path, vocab: int) -> NeuralLm:
    config = parse_config((folder / "config.yaml").read_text(), "config.yaml")
    return read_network(config.lm, folder / "lm" / WEIGHTS, vocab)


def torch_acoustics(recognizer: Recognizer) -> TorchAcoustics:
    assert isinstance(recognizer.acoustics, TorchAcoustics)
    return recognizer.acoustics


@torch.no_grad()
def total_loss(lm: NeuralLm, recognizer: Recognizer, texts: list[str]) -> float:
    source = TextSource(texts, [recognizer.tokenizer.encode(text) for text in texts])
    return sum(float(lm.loss(source.batch(items)).total) for items in source.plan(1e9))


def decode(asrkit: Run, model: Path, *flags: object) -> dict[str, Any]:
    done = asrkit("decode", "--model", model, SOUND, "-f", "json", *flags)
    assert done.code == 0, done.err
    return json.loads(done.out)


# ---- the stages


@pytest.mark.parametrize("kind", NEURAL)
def test_a_neural_model_is_trained_and_measured(kind: str, recipe: Path, asrkit: Run) -> None:
    folder = neural(recipe, asrkit, kind)
    record = json.loads((folder / "lm" / "perplexity.json").read_text())
    recognizer = Recognizer.load(folder)
    vocab = len(recognizer.tokenizer.tokens)
    texts = [u.text for u in read_manifest(folder / "check" / "dev.jsonl.gz")]
    tokens = sum(len(recognizer.tokenizer.encode(text)) + 1 for text in texts)
    expected = math.exp(total_loss(network(folder, vocab), recognizer, texts) / tokens)
    assert record == {"unit": "token", "perplexity": pytest.approx(expected, rel=1e-4), "lines": 24}
    train_texts = [u.text for u in read_manifest(folder / "check" / "train.jsonl.gz")]
    torch.manual_seed(recognizer.config.seed)  # with which the training began
    fresh = NeuralLm(neural_lm_shape(recognizer.config.lm), vocab)
    losses = [total_loss(lm, recognizer, train_texts) for lm in (network(folder, vocab), fresh)]
    assert losses[0] < 0.95 * losses[1], "it has learnt something"
    again = asrkit(
        "train",
        recipe,
        "--exp",
        recipe / "exp",
        "--tag",
        kind,
        "--dry-run",
        *QUICK,
        *NEURAL[kind],
        *LM,
        *LM_TRAIN,
    )
    assert "lm         done  up to date" in again.err and " run " not in again.err


@pytest.mark.parametrize("kind", NEURAL)
def test_a_decoder_starts_from_the_language_model(kind: str, recipe: Path, asrkit: Run) -> None:
    folder = neural(recipe, asrkit, kind)
    decoder = torch_acoustics(Recognizer.load(folder)).model.decoder.state_dict()
    lm = network(folder, decoder["out.bias"].numel()).decoder.state_dict()
    assert {name for name in decoder if name not in lm} == {name for name in decoder if ".attend." in name}
    for name, tensor in lm.items():
        torch.testing.assert_close(decoder[name], tensor, rtol=0, atol=0)


def test_texts_for_the_language_model(recipe: Path, asrkit: Run, tmp_path: Path) -> None:
    (recipe / "more.txt").write_text("Please hold.\n\nThank you, goodbye!\nsix seven eight\n")
    words = ["--stop-stage", "lm", *CTC, *LM, *LM_TRAIN, "lm.kind=transformer", "lm.text=[more.txt]"]
    folder = train(recipe, asrkit, "texts", *words)
    assert json.loads((folder / "lm" / "perplexity.json").read_text())["lines"] == 3
    plan = ["train", recipe, "--exp", recipe / "exp", "--tag", "texts", *QUICK, *words, "--dry-run"]
    assert "lm         done  up to date" in asrkit(*plan).err
    (recipe / "more.txt").write_text("something else, and longer\n")
    assert "lm         run   an earlier stage changed" in asrkit(*plan).err
    (recipe / "more.txt").unlink()
    missing = asrkit(*plan[:-1], "--force")
    assert missing.code == 1 and "cannot read more.txt" in missing.err and "lm.text" in missing.err


@pytest.mark.parametrize("kind", ["lstm", "word-ngram"])
def test_sentences_are_joined_to_lines(kind: str, recipe: Path, asrkit: Run) -> None:
    (recipe / "story.txt").write_text("she sells sea shells\nby the sea\n" * 20)
    words = ["--stop-stage", "lm", *CTC, *LM, *LM_TRAIN, f"lm.kind={kind}", "lm.text=[story.txt]"]
    for most, low, high in ((0, 40, 40), (4, 20, 39), (30, 5, 15)):
        folder = train(recipe, asrkit, f"story-{kind}-{most}", *words, f"lm.line_words={most}")
        assert low <= json.loads((folder / "lm" / "perplexity.json").read_text())["lines"] <= high


def test_tuning_takes_the_best_of_the_grid_and_decoding_uses_it(recipe: Path, asrkit: Run) -> None:
    folder = neural(recipe, asrkit, "transformer")
    record = json.loads((folder / "tuned.json").read_text())
    tried = [{name: row[name] for name in GRID} for row in record["tried"]]
    assert tried == [
        {"lm_weight": a, "ctc_weight": b, "length_bonus": 1.5} for a in (0.0, 0.8) for b in (0.1, 0.6)
    ]
    errors = [row["errors"] for row in record["tried"]]
    assert record["chosen"] == tried[errors.index(min(errors))]
    assert len(set(errors)) > 1, "weights matter"

    recognizer = Recognizer.load(folder)
    utterances = list(read_manifest(folder / "check" / "dev.jsonl.gz"))
    settings = vars(recognizer.settings)
    assert {name: settings[name] for name in GRID} == record["chosen"]
    for weights, expected in zip(tried, errors, strict=True):
        recognizer.settings = with_weights(recognizer.settings, weights)
        actual = {u.id: recognizer.transcribe(u.audio).text for u in utterances}
        score = score_texts({u.id: u.text for u in utterances}, actual, "char")
        assert score.total.errors == expected

    shares = {"attention": 1 - record["chosen"]["ctc_weight"], "ctc": record["chosen"]["ctc_weight"]}
    shares |= {"lm": record["chosen"]["lm_weight"], "length": 1.5, "loops": 0.0}
    lines = (folder / "decode" / "joint" / "test" / "nbest.jsonl").read_text().splitlines()
    for line in lines:
        (best, *_) = json.loads(line)["nbest"]
        assert best["score"] == pytest.approx(
            sum(shares[name] * x for name, x in best["parts"].items()), abs=1e-3
        )
    bundle = Recognizer.load(folder / "small.asrkit")
    assert {name: vars(bundle.settings)[name] for name in GRID} == record["chosen"]


# ---- decoding


@pytest.mark.parametrize("kind", NEURAL)
def test_fusion_changes_scores_by_what_the_language_model_says(kind: str, recipe: Path, asrkit: Run) -> None:
    folder = neural(recipe, asrkit, kind)
    recognizer = Recognizer.load(folder)
    lm = network(folder, recognizer.model.vocab)
    flags = ["--decoder", "attention-beam", "--beam-size", 4, "--nbest", 4, "--length-bonus", 0]
    without, fused = (decode(asrkit, folder, *flags, "--lm-weight", weight) for weight in (0, 0.7))
    assert all("lm" not in entry["parts"] for entry in without["nbest"])
    assert [e["text"] for e in without["nbest"]] != [e["text"] for e in fused["nbest"]] or (
        without["nbest"][0]["score"] != fused["nbest"][0]["score"]
    )
    for entry in fused["nbest"]:
        parts = entry["parts"]
        assert entry["score"] == pytest.approx(parts["attention"] + 0.7 * parts["lm"], abs=1e-3)
    recognizer.settings = replace(recognizer.settings, lm_weight=0.7, decoder="attention-beam")
    wave = read_audio(str(SOUND), 16000)
    (best, *_) = recognizer.search(recognizer.encode([wave]))[0]
    source = TextSource([""], [list(best.tokens)])
    with torch.no_grad():
        loss = float(lm.loss(source.batch(source.typical(1))).total)
    assert best.parts["lm"] == pytest.approx(-loss, abs=1e-3)


def test_a_second_pass_orders_hypotheses_anew(recipe: Path, asrkit: Run, tmp_path: Path) -> None:
    folder = second_pass(recipe, asrkit)
    recognizer = Recognizer.load(folder)
    assert recognizer.rescorer is not None and recognizer.rescorer.tokenizer.kind == "bpe"
    assert len(recognizer.rescorer.tokenizer.tokens) == 40
    texts = [u.text for u in read_manifest(folder / "check" / "dev.jsonl.gz")]
    expected = math.exp(-recognizer.rescorer.log_probs(texts).sum() / sum(len(t.split()) + 1 for t in texts))
    record = json.loads((folder / "lm" / "rescorer" / "perplexity.json").read_text())
    assert record == {"perplexity": pytest.approx(expected, rel=1e-3), "lines": 20}

    encoded = recognizer.encode([read_audio(str(SOUND), 16000)])
    settings, weight = recognizer.settings, recognizer.settings.lm_weight
    recognizer.settings = replace(settings, rescorer_share=0.0, nbest=8)
    first = {h.words: h for h in recognizer.search(encoded)[0]}
    for share in (0.3, 1.0):
        recognizer.settings = replace(settings, rescorer_share=share, nbest=8)
        actual = recognizer.search(encoded)[0]
        assert {h.words for h in actual} == set(first) and len(actual) > 2
        words = [" ".join(word for word, _, _ in h.words or ()) for h in actual]
        for hypothesis, second in zip(actual, recognizer.rescorer.log_probs(words), strict=True):
            before = first[hypothesis.words]
            assert hypothesis.parts == {**before.parts, "rescorer": pytest.approx(second, abs=1e-4)}
            lm = (1 - share) * before.parts["lm"] + share * second
            count = len(hypothesis.words or ())
            expected = before.parts["ctc"] + weight * lm + settings.word_bonus * count
            assert hypothesis.score == pytest.approx(expected, abs=1e-3)
        assert [h.score for h in actual] == sorted((h.score for h in actual), reverse=True)
    recognizer.settings = replace(settings, rescorer_share=0.0)
    alone = recognizer.search(encoded)[0][0].words
    recognizer.settings = replace(settings, rescorer_nbest=1)
    assert [h.words for h in recognizer.search(encoded)[0]] == [alone], "with one, there is no choice"

    bundle = folder / "small.asrkit"
    flags = ("--rescorer-share", 1.0, "--rescorer-nbest", 8, "--nbest", 3)
    by_flag = decode(asrkit, folder, *flags)
    assert by_flag == decode(asrkit, bundle, *flags)
    assert by_flag["nbest"][0]["parts"]["rescorer"] == pytest.approx(actual[0].parts["rescorer"], abs=1e-3)
    without = decode(asrkit, bundle, "--rescorer-share", 0.0, "--nbest", 3)
    assert "rescorer" not in without["nbest"][0]["parts"]
    few, many = (decode(asrkit, bundle, "--rescorer-nbest", n, "--rescorer-share", 1) for n in (1, 8))
    assert few["nbest"][0]["score"] <= many["nbest"][0]["score"]


def test_the_second_model_is_shared_by_experiments_and_its_damage_named(recipe: Path, asrkit: Run) -> None:
    second_pass(recipe, asrkit)
    shared = list((recipe / "exp" / "small" / "data").glob("rescorer-*"))
    again = second_pass(recipe, asrkit, "lm.order=3")
    assert list((recipe / "exp" / "small" / "data").glob("rescorer-*")) == shared
    weights = again / "lm" / "rescorer" / "model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:100])
    done = asrkit("decode", "--model", again, SOUND)
    assert done.code == 1 and "rescorer" in done.err and len(done.err.splitlines()) == 2
    weights.write_bytes(kept)
    plan = ["train", recipe, "--exp", recipe / "exp", "--tag", "second", *QUICK, *CTC, *RESCORER, "--dry-run"]
    plan += ["lm.kind=word-ngram", "lm.order=3"]
    for words, changed in (([], False), (["corpus.train=[train,dev]"], True), (["lm.line_words=8"], True)):
        assert ("rescorer   run " in asrkit(*plan, *words).err) == changed
    other = words_model(recipe, asrkit)
    refused = asrkit("decode", "--model", other, SOUND, "--rescorer-share", 0.5)
    assert refused.code == 2 and "no rescorer" in refused.err


def test_a_new_card_is_packed(recipe: Path, asrkit: Run) -> None:
    folder = words_model(recipe, asrkit)
    (recipe / "CARD.md").write_text("# Heard at home\n")
    words_model(recipe, asrkit)
    assert Bundle.open(folder / "small.asrkit").read("README.md").startswith(b"# Heard at home\n")


def test_the_mean_of_what_is_heard_at_several_moments(recipe: Path, asrkit: Run) -> None:
    folder = words_model(recipe, asrkit)
    recognizer = Recognizer.load(folder)
    waves = [read_audio(str(SOUND), 16000), read_audio(str(SOUND), 16000)[:9000]]
    acoustics = torch_acoustics(recognizer)
    plain = acoustics.encode(waves).encoded
    feats, lens = acoustics.features(waves)
    outs = [plain.out]
    for by in (-2, -1, 1, 2):
        moved = torch.zeros_like(feats)
        for row, frames in enumerate(lens.tolist()):
            positions = [min(max(0, frame - by), frames - 1) for frame in range(frames)]
            moved[row, :frames] = feats[row, positions]
        with torch.inference_mode():
            outs.append(acoustics.model.encode(moved, lens).out)
    recognizer.settings = replace(recognizer.settings, shifts=2)
    shifted = recognizer.encode(waves)
    assert isinstance(shifted, TorchEncoded)
    actual = shifted.encoded
    torch.testing.assert_close(actual.out, torch.stack(outs).mean(dim=0), rtol=1e-4, atol=1e-5)
    assert actual.lens.tolist() == plain.lens.tolist() and not torch.allclose(
        actual.out, plain.out, atol=1e-3
    )
    none, two = (decode(asrkit, folder, "--shifts", shifts) for shifts in (0, 2))
    assert none == decode(asrkit, folder) and none["nbest"] != two["nbest"]


def test_every_weight_has_its_flag(recipe: Path, asrkit: Run, tmp_path: Path) -> None:
    folder = neural(recipe, asrkit, "transformer")
    base = decode(asrkit, folder)
    for flag, values in {
        "ctc-weight": (0.05, 0.9),
        "lm-weight": (0.0, 3.0),
        "length-bonus": (0.0, 4.0),
    }.items():
        low, high = (decode(asrkit, folder, f"--{flag}", value) for value in values)
        assert low["nbest"] != high["nbest"], flag
    words = words_model(recipe, asrkit)
    low, high = (decode(asrkit, words, "--word-bonus", value, "--lm-weight", 0.1) for value in (-9.0, 9.0))
    assert len(high["text"].split()) > len(low["text"].split())
    low, high = (decode(asrkit, words, "--ctc-prior-weight", value) for value in (0.0, 0.9))
    assert low["nbest"] != high["nbest"]
    low, high = (decode(asrkit, words, "--beam-threshold", value) for value in (1, 50))
    assert low["nbest"][0]["score"] <= high["nbest"][0]["score"] and low["nbest"] != high["nbest"]
    assert decode(asrkit, folder, "--attention", tmp_path / "maps") == base
    assert (tmp_path / "maps" / "activated.png").read_bytes().startswith(b"\x89PNG")


def test_priors_are_the_mean_posteriors_and_come_off_by_their_share(recipe: Path, asrkit: Run) -> None:
    folder = words_model(recipe, asrkit)
    recognizer = Recognizer.load(folder)
    posteriors = [
        np.exp(recognizer.ctc_log_probs(wave))
        for _, wave in recognizer.waves(read_manifest(folder / "check" / "dev.jsonl.gz"))
    ]
    expected = np.concatenate(posteriors).mean(axis=0)
    actual = json.loads((folder / "ctc_prior.json").read_text())
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert sum(actual) == pytest.approx(1, abs=1e-4)

    encoded = recognizer.encode([read_audio(str(SOUND), 16000)])
    recognizer.settings = replace(recognizer.settings, ctc_prior_weight=0.7)
    scaled = recognizer.search(encoded)[0][0]
    recognizer.settings = replace(recognizer.settings, ctc_prior_weight=0.0)
    with mock.patch.object(encoded, "ctc_log_probs", wraps=encoded.ctc_log_probs) as given:
        raw, lens = encoded.ctc_log_probs()
        shifted = torch.tensor(raw) - 0.7 * torch.tensor(expected).float().clamp(min=1e-6).log()
        given.return_value = (shifted - shifted.logsumexp(dim=-1, keepdim=True)).numpy(), lens
        by_hand = recognizer.search(encoded)[0][0]
    assert scaled.tokens == by_hand.tokens
    assert scaled.score == pytest.approx(by_hand.score, abs=1e-3)

    (folder / "ctc_prior.json").rename(folder / "kept.json")
    without = asrkit("decode", "--model", folder, SOUND, "--ctc-prior-weight", 0.5)
    assert without.code == 2 and "priors were not measured" in without.err
    for content in ("[1.0]", "{", "[-1" + ", 0.1" * (len(actual) - 1) + "]"):
        (folder / "ctc_prior.json").write_text(content)
        damaged = asrkit("decode", "--model", folder, SOUND)
        assert damaged.code == 1 and "ctc_prior.json" in damaged.err, content
    (folder / "kept.json").replace(folder / "ctc_prior.json")


def test_flags_that_a_model_has_no_use_for(recipe: Path, asrkit: Run, tmp_path: Path) -> None:
    ctc, joint = words_model(recipe, asrkit), neural(recipe, asrkit, "transformer")
    for model, flags, code, message in (
        (ctc, ("--attention", tmp_path), 2, "attention head"),
        (ctc, ("--decoder", "joint"), 2, "decoders that would work: ctc-greedy, ctc-beam, ctc-lexicon"),
        (joint, ("--decoder", "ctc-lexicon"), 2, "a language model of kind word-ngram"),
        (joint, ("--decoder", "frame-viterbi"), 2, "the head frame"),
        (joint, ("--ctc-weight", 1.5), 2, "--ctc-weight"),
        (joint, ("--lm-weight", -1), 2, "--lm-weight"),
    ):
        done = asrkit("decode", "--model", model, SOUND, *flags)
        assert done.code == code and message in done.err and done.out == "", (flags, done)
        assert [line.split(":")[0] for line in done.err.splitlines()] == ["error", "hint"]


def test_damaged_parts_are_named(recipe: Path, asrkit: Run, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(neural(recipe, asrkit, "transformer"), folder)
    for name, content, message in (
        ("tuned.json", "{}", "tuned.json"),
        ("tuned.json", '{"chosen": {"nothing": 1}}', "nothing is not a weight"),
        ("lm/averaged/model.safetensors", "short", "lm/averaged/model.safetensors"),
    ):
        kept = (folder / name).read_bytes()
        (folder / name).write_text(content)
        done = asrkit("decode", "--model", folder, SOUND)
        assert done.code == 1 and message in done.err and done.err.startswith("error: "), (name, done)
        (folder / name).write_bytes(kept)
    assert asrkit("decode", "--model", folder, SOUND).code == 0


def test_spellings_kept_with_the_language_model_only_save_time(
    recipe: Path, asrkit: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(words_model(recipe, asrkit), folder)
    kept = folder / "lm" / "spellings.safetensors"
    before = decode(asrkit, folder, "--nbest", 2)
    content = kept.read_bytes()
    kept.unlink()
    assert decode(asrkit, folder, "--nbest", 2) == before
    arrays = load(content)
    out = {**arrays, "tokens": np.full_like(arrays["tokens"], 250)}
    for wrong, message in ((content[:90], "spellings.safetensors"), (save(out), "the spelling [250")):
        kept.write_bytes(wrong)
        done = asrkit("decode", "--model", folder, SOUND)
        assert done.code == 1 and message in done.err and "Traceback" not in done.err, done.err


# ---- what cannot be

WRONG = {
    "model.encoder=mlp": ("model.encoder=mlp without the frame head", "model.heads=[frame]"),
    "decode.tune.lm_wieght=[0.5]": ("decode.lm_wieght is not a weight", "lm_weight"),
    "decode.tune.lm_weight=[]": ("decode.tune.lm_weight has no values", "list"),
    "decode.tune.ctc_weight=[0.5,1.5]": ("decode.tune.ctc_weight=1.5: above 1", "1"),
    "decode.decoder=ctc-lexicon": ("a language model of kind word-ngram", "ctc-greedy"),
    "decode.also=[joint]": ("the head attention", "ctc-beam"),
    "model.lm_share=0.2": ("without an attention head", "model.heads"),
    "model.decoder_from_lm=true": ("model.decoder_from_lm", "lm.kind"),
    "lm.kind=trigram": ("lm.kind=trigram: not a choice", "word-ngram"),
    "lm.order=9": ("lm.order=9: above 8", "8"),
    "lm.rescorer.kind=lstm": ("lm.rescorer without an n-gram model of words", "lm.kind=word-ngram"),
    "decode.rescorer_share=0.5": ("decode.rescorer_share, but lm.rescorer.kind is none", "lm.rescorer.kind"),
}
ATTENTION = ["model.heads=[attention,ctc]", "decode.decoder=joint", "decode.also=[]"]
WRONG_TOGETHER = {
    ("model.decoder=lstm", "model.lm_share=0.2"): "an LSTM decoder, which needs an encoder",
    ("lm.kind=token-ngram", "model.decoder_from_lm=true"): "the attention head and the language model differ",
    ("lm.kind=lstm", "model.decoder_from_lm=true"): "the attention head and the language model differ",
    ("lm.kind=transformer", "model.decoder_from_lm=true", "lm.model.dim=64"): "model.decoder_from_lm",
    ("lm.model.dim=30", "lm.model.heads=4"): "not divisible by its heads",
}


def test_what_cannot_be_is_refused_at_once(recipe: Path, asrkit: Run, tmp_path: Path) -> None:
    cases: dict[tuple[str, ...], tuple[str, str]] = {(word,): lines for word, lines in WRONG.items()}
    cases |= {(*ATTENTION, *words): (message, "") for words, message in WRONG_TOGETHER.items()}
    for words, lines in cases.items():
        done = asrkit("train", recipe, "--exp", tmp_path / "none", *words)
        assert done.code == 2, (words, done)
        error, hint = done.err.splitlines()
        assert error.startswith("error: ") and lines[0] in error, (words, error)
        assert hint.startswith("hint: ") and lines[1] in hint, (words, hint)
    assert not (tmp_path / "none").exists()


def test_tuning_may_be_switched_off(recipe: Path, asrkit: Run, tmp_path: Path) -> None:
    words = ["train", recipe, "--exp", tmp_path, "--dry-run", "model=mlp"]
    assert "tune       run" in asrkit(*words).err
    assert "tune       idle  decode.tune is empty" in asrkit(*words, "decode.tune={}").err


def test_tuning_by_hand_and_one_table_of_results(recipe: Path, asrkit: Run, tmp_path: Path) -> None:
    folder = tmp_path / "small" / "by-hand"
    shutil.copytree(neural(recipe, asrkit, "transformer"), folder)
    words = [
        "tune",
        folder,
        "--decoder",
        "attention-beam",
        "--unit",
        "char",
        "--device",
        "cpu",
        "--threads",
        1,
    ]
    done = asrkit(*words, "length_bonus=0,9", "lm-weight=0.2")
    assert done.code == 0, done.err
    tuned = json.loads((folder / "tuned.json").read_text(encoding="utf-8"))
    assert [row["length_bonus"] for row in tuned["tried"]] == [0, 9] and tuned["unit"] == "char"
    assert tuned["chosen"]["lm_weight"] == Recognizer.load(folder, device="cpu").settings.lm_weight == 0.2
    for wrong, message in (
        ("word_bonus=1", "is ignored by"),
        ("lm_weight=x", "not a weight with its values"),
    ):
        done = asrkit(*words, wrong)
        assert done.code == 2 and message in done.err, done.err
    assert asrkit("tune", tmp_path, "lm_weight=1").code == 1

    done = asrkit("results", folder, "--set", "test", "--title", "Tiny")
    assert done.code == 0 and done.out.count("| small/by-hand |") == 1 and "# Tiny" in done.out
    page = tmp_path / "table.md"
    assert asrkit("results", folder, "-o", page).out == "" and "| dev |" in page.read_text(encoding="utf-8")
    kept = tmp_path / "kept.json"
    kept.write_bytes((folder / "results.json").read_bytes())
    both = asrkit("results", kept, folder).out
    assert "| small/kept |" in both and "| small/by-hand |" in both
    content = json.loads(kept.read_text(encoding="utf-8"))
    content["command"] += " augment.volume_db=3"
    kept.write_text(json.dumps(content))
    first, second = asrkit("results", folder, kept, "--brief").out.split("| by-hand | ")[1].splitlines()[:2]
    size = f"{content['parameters']:,} | "
    assert first.startswith(f"– | {size}") and second.startswith(f"| kept | `augment.volume_db=3` | {size}")
    assert asrkit("results", tmp_path).code == 1
    kept.write_text("[]")
    assert asrkit("results", kept).code == 1
