"""Plants bugs in a copy of the package, one at a time, and sees whether the tests notice each.

    python tests/mutation.py            all of them
    python tests/mutation.py 3 7        these

The package and the tests are copied, so nothing here is ever changed. A bug counts as caught when a test runs
and fails; one that cannot be imported, breaks a fixture or never ends proves nothing, and is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent

KERNELS = "recognition/decoding/ctc_kernels.py"
PREFIXES = "recognition/decoding/prefix_kernels.py"
INSERTING = "            return child\n        slot = (slot + 1) & mask\n    table[slot] = nodes\n"
DECODING = ("unit/test_ctc_decoding.py", "reference/test_ctc_decode.py")
MODEL = ("unit/test_models.py", "reference/test_model_loss.py")
LABELS = ("unit/test_scorers.py", "reference/test_label_beam.py")
ATTENTION = ("unit/test_attention.py", "reference/test_attention_models.py")


class Bug(NamedTuple):
    """`file` of the package in which `old`, which occurs once, becomes `new`; `tests` should fail."""

    what: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


BUGS = [
    Bug(
        "paths of a prefix: the best one, not the sum",
        PREFIXES,
        "return high + math.log(1.0 + math.exp(low - high))",
        "return high",
        DECODING,
    ),
    Bug(
        "beam: a new best prefix comes second",
        PREFIXES,
        "while at > 0 and scores[at - 1] < score:",
        "while at > 1 and scores[at - 1] < score:",
        DECODING,
    ),
    Bug(
        "trie: two prefixes with one last token are one",
        PREFIXES,
        "parents[child] == node and labels[child] == label:\n" + INSERTING,
        "labels[child] == label:\n" + INSERTING,
        DECODING,
    ),
    Bug(
        "beam: blank follows blank only",
        KERNELS,
        "b = total[i] + row[blank]",
        "b = p_b[i] + row[blank]",
        DECODING,
    ),
    Bug(
        "beam: a repeat after blank makes the prefix no longer",
        KERNELS,
        "nb = p_nb[i] + row[last]",
        "nb = total[i] + row[last]",
        DECODING,
    ),
    Bug(
        "beam: a repeat without blank makes a longer prefix that is in the beam",
        KERNELS,
        "(p_b[up] if last == tokens[beam[up]] else total[up]) + row[last]",
        "total[up] + row[last]",
        DECODING,
    ),
    Bug(
        "beam: a repeat without blank makes a longer prefix that is not",
        KERNELS,
        "score = (p_b[i] if token == last else total[i]) + likely_scores[k]",
        "score = total[i] + likely_scores[k]",
        DECODING,
    ),
    Bug(
        "beam: a prefix that stays and is grown into takes two places",
        KERNELS,
        "if score > worst and grown[i, token] < t:",
        "if score > worst:",
        DECODING,
    ),
    Bug(
        "alignment: equal neighbours need no blank in between",
        KERNELS,
        "if u > 1 and in_token[u - 1] < least and tokens[u - 1] != tokens[u - 2]:",
        "if u > 1 and in_token[u - 1] < least:",
        DECODING,
    ),
    Bug(
        "alignment: tokens end a frame early",
        KERNELS,
        "spans[u - 1, 1] = max(spans[u - 1, 1], t + 1)",
        "spans[u - 1, 1] = max(spans[u - 1, 1], t)",
        DECODING,
    ),
    Bug(
        "decoding: padding is decoded too",
        "recognition/decoding/posteriors.py",
        "np.ascontiguousarray(log_probs[index, :length])",
        "np.ascontiguousarray(log_probs[index])",
        DECODING,
    ),
    Bug(
        "greedy: repeats are not joined",
        "recognition/decoding/ctc_greedy.py",
        "starts = np.flatnonzero(np.diff(path, prepend=-1))",
        "starts = np.arange(len(path))",
        DECODING,
    ),
    Bug(
        "CTC loss: another token is blank",
        "learning/models/asr.py",
        'batch.token_lens, blank=0, reduction="none"',
        'batch.token_lens, blank=1, reduction="none"',
        MODEL,
    ),
    Bug(
        "CTC loss: padding counts as frames",
        "learning/models/asr.py",
        "batch.tokens, lens, batch.token_lens",
        "batch.tokens, torch.full_like(lens, log_probs.shape[1]), batch.token_lens",
        MODEL,
    ),
    Bug(
        "padding: the first padded frame is valid",
        "learning/padding.py",
        "torch.arange(frames, device=lens.device) < lens[:, None]",
        "torch.arange(frames, device=lens.device) <= lens[:, None]",
        MODEL,
    ),
    Bug(
        "BiLSTM: padding is reversed to the front",
        "learning/padding.py",
        "torch.where(position < lens[:, None], lens[:, None] - 1 - position, position)",
        "(x.shape[1] - 1 - position).expand(len(lens), -1)",
        MODEL,
    ),
    Bug(
        "prefix scores: repeats need no blank in between",
        "recognition/decoding/ctc_prefix_score.py",
        "if not repeated:",
        "if not repeated or True:",
        LABELS,
    ),
    Bug(
        "prefix scores: an output cannot end in blank",
        "recognition/decoding/ctc_prefix_score.py",
        "scores[:, self.eos] = np.logaddexp(forward[:, 0, -1], forward[:, 1, -1])",
        "scores[:, self.eos] = forward[:, 0, -1]",
        LABELS,
    ),
    Bug(
        "label beam: states stay with the wrong hypotheses",
        "recognition/decoding/label_beam.py",
        "scorer.select(states[name], parents)",
        "scorer.select(states[name], parents * 0)",
        LABELS,
    ),
    Bug(
        "label beam: stops at the first finished hypotheses",
        "recognition/decoding/label_beam.py",
        "len(finished) == nbest and best[0] + rise <= finished[-1].score",
        "len(finished) == nbest",
        LABELS,
    ),
    Bug(
        "rotary positions: every next one is the first",
        "learning/models/attention.py",
        "torch.arange(first, first + x.shape[-2], ",
        "torch.arange(x.shape[-2], ",
        ATTENTION,
    ),
    Bug(
        "linear attention: values in padding count",
        "learning/models/attention.py",
        "k, v32 = k * keep, v.float() * keep",
        "k, v32 = k * keep, v.float()",
        ATTENTION,
    ),
    Bug(
        "attention maps: not scaled by the width of a head",
        "learning/models/attention.py",
        ".float() / q.shape[-1] ** 0.5",
        ".float()",
        ATTENTION,
    ),
    Bug(
        "stacked frames: padding is encoded",
        "learning/models/subsampling.py",
        "x = mask_padding(x, lens)",
        "x = x.clone()",
        ATTENTION,
    ),
    Bug(
        "location attention: blind to where it looked",
        "learning/models/decoders/lstm.py",
        "summed = summed + self.seen(filtered)",
        "summed = summed + 0 * self.seen(filtered)",
        ATTENTION,
    ),
    Bug(
        "speller: a hypothesis goes on from where another one looked",
        "learning/models/decoders/lstm.py",
        "weights=self.weights[index])",
        "weights=self.weights[index * 0])",
        ATTENTION,
    ),
    Bug(
        "transformer decoder: every next token is the first",
        "learning/models/decoders/transformer.py",
        "sinusoids(tokens.shape[1], self.dim, first)",
        "sinusoids(tokens.shape[1], self.dim)",
        ATTENTION,
    ),
    Bug(
        "attention loss: the end is not learnt",
        "learning/models/decoders/__init__.py",
        "masked_fill(position > ends, -100)",
        "masked_fill(position >= ends, -100)",
        ATTENTION,
    ),
    Bug(
        "attention loss: the encoder is never hidden",
        "learning/models/asr.py",
        "None if hidden else encoded",
        "encoded",
        ATTENTION,
    ),
    Bug(
        "attention greedy: finished utterances go on scoring",
        "recognition/decoding/attention.py",
        "total += np.where(running, log_probs[np.arange(count), token], 0.0)",
        "total += log_probs[np.arange(count), token]",
        ATTENTION,
    ),
    Bug(
        "attention times: tokens may go back",
        "recognition/decoding/attention.py",
        "np.maximum.accumulate(weights.argmax(axis=1))",
        "weights.argmax(axis=1)",
        ATTENTION,
    ),
    Bug(
        "loop guard: one repetition too many",
        "recognition/decoding/scorers.py",
        "whole = self.times * period + period - 1",
        "whole = (self.times + 1) * period + period - 1",
        ATTENTION,
    ),
]


def sources() -> dict[str, str]:
    """The text of every file with a bug to plant. Exits unless each text to replace occurs exactly once."""
    texts = {bug.file: (ROOT / "asrkit" / bug.file).read_text(encoding="utf-8") for bug in BUGS}
    for bug in BUGS:
        if (count := texts[bug.file].count(bug.old)) != 1:
            sys.exit(f"asrkit/{bug.file}: {count} times instead of once: {bug.old}")
    return texts


def failures(folder: Path, tests: Sequence[str]) -> list[str]:
    """Names of the tests that fail in `folder`, at most one. Exits when tests could not run."""
    report = folder / "report.xml"
    words = ["-x", "-p", "no:cacheprovider", f"--junitxml={report}", *(f"tests/{test}" for test in tests)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None]
    if done.returncode not in (0, 1) or (done.returncode == 1 and not failed):
        sys.exit(f"the tests did not run:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    return [case.get("name", "") for case in failed]


def survivors(numbers: Sequence[int]) -> list[str]:
    """Plant the bugs of these numbers, counted from 1; what those are that no test noticed."""
    texts, survived = sources(), list[str]()
    bugs = {number: BUGS[number - 1] for number in numbers or range(1, len(BUGS) + 1)}
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "sound"
        ignored = shutil.ignore_patterns("__pycache__")
        for part in ("asrkit", "tests"):
            shutil.copytree(ROOT / part, sound / part, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", sound)
        for part in ("recipes", "conf"):
            (sound / part).symlink_to(ROOT / part)
        if failed := failures(sound, sorted({test for bug in bugs.values() for test in bug.tests})):
            sys.exit(f"without any bug, this fails: {failed[0]}")
        for number, bug in bugs.items():
            folder = Path(scratch) / "planted"
            shutil.copytree(sound, folder, symlinks=True)  # with the machine code of what stays as it is
            planted = texts[bug.file].replace(bug.old, bug.new)
            (folder / "asrkit" / bug.file).write_text(planted, encoding="utf-8")
            failed = failures(folder, bug.tests)
            print(f"{number:2d}  {bug.what:70}  {failed[0] if failed else 'SURVIVES'}", flush=True)
            survived += [] if failed else [bug.what]
            shutil.rmtree(folder)
    return survived


if __name__ == "__main__":
    sys.exit(1 if survivors([int(word) for word in sys.argv[1:]]) else 0)
