"""Captions that can be read: short lines, not too long, in time with the words."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.recognition.transcript import Transcript, Word
from asrkit.recognition.writers.captions import captions
from asrkit.recognition.writers.transcripts import to_srt, to_vtt

TEXT = "It is a truth universally acknowledged that a single man in possession of a good fortune must be"


def spoken(*words: tuple[str, float, float]) -> list[Word]:
    return [Word(text, start, end, 1.0) for text, start, end in words]


def evenly(text: str, seconds: float = 0.3) -> list[Word]:
    return spoken(*((word, i * seconds, (i + 1) * seconds) for i, word in enumerate(text.split())))


def transcript(words: list[Word]) -> Transcript:
    return Transcript("a", "a.wav", 99.0, " ".join(w.text for w in words), 1.0, words, words, [])


@st.composite
def speech(draw: st.DrawFn) -> list[Word]:
    now, words = 0.0, []
    for length in draw(st.lists(st.integers(1, 14), max_size=60)):
        now += draw(st.sampled_from([0.0, 0.0, 0.1, 0.3, 1.5]))
        words.append(("x" * length, round(now, 3), round(now + 0.08 * length, 3)))
        now += 0.08 * length
    return spoken(*words)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(speech())
def test_captions_hold_every_word_within_the_limits(words: list[Word]) -> None:
    actual = captions(words)
    assert " ".join(line for c in actual for line in c.lines) == " ".join(w.text for w in words)
    assert all(len(c.lines) <= 2 and all(len(line) <= 42 for line in c.lines) for c in actual)
    assert all(0 <= c.end - c.start <= 7.001 for c in actual)
    assert all(a.end <= b.start for a, b in pairwise(actual))
    assert {c.start for c in actual} <= {w.start for w in words}


def test_a_pause_ends_a_caption() -> None:
    actual = captions(spoken(("yes", 0.0, 0.3), ("well", 2.0, 2.4), ("perhaps", 2.5, 3.0)))
    assert [c.lines for c in actual] == [("yes",), ("well perhaps",)]
    assert [(c.start, c.end) for c in actual] == [(0.0, 1.0), (2.0, 3.0)]


def test_a_full_caption_ends_at_its_longest_gap() -> None:
    words = evenly(TEXT)
    late = [Word(w.text, w.start + 0.2, w.end + 0.2, 1.0) for w in words[9:]]
    assert captions(words[:9] + late)[0].lines[-1].endswith(words[8].text)


def test_lines_are_even() -> None:
    (caption,) = captions(evenly("a good fortune must be in want of a wife however", 0.2))
    assert caption.lines == ("a good fortune must be", "in want of a wife however")


def test_a_long_word_and_none_at_all() -> None:
    assert captions(spoken(("x" * 60, 1.0, 12.0)))[0] == (1.0, 8.0, ("x" * 60,))
    assert to_srt(transcript([])) == "" and to_vtt(transcript([])) == "WEBVTT\n"


def test_srt_and_vtt_are_what_players_read() -> None:
    words = [Word(w.text, w.start + 3599.0, w.end + 3599.0, 1.0) for w in evenly(TEXT + " <unk> a&b")]
    clock = r"(\d\d):(\d\d):(\d\d)%s(\d\d\d)"
    srt = to_srt(transcript(words)).split("\n\n")
    assert [block.split("\n")[0] for block in srt] == [str(n + 1) for n in range(len(srt))]
    times = [re.findall(clock % ",", block.split("\n")[1]) for block in srt]
    seconds = [[int(h) * 3600 + int(m) * 60 + int(s) + int(ms) / 1000 for h, m, s, ms in t] for t in times]
    assert seconds[0][0] == 3599.0 and all(len(t) == 2 and t[0] < t[1] for t in seconds)
    assert " ".join(" ".join(block.strip().split("\n")[2:]) for block in srt) == TEXT + " <unk> a&b"
    head, *cues = to_vtt(transcript(words)).split("\n\n")
    assert head == "WEBVTT" and len(cues) == len(srt)
    assert all(re.fullmatch(f"{clock % '[.]'} --> {clock % '[.]'}", cue.split("\n")[0]) for cue in cues)
    assert "&lt;unk&gt; a&amp;b" in cues[-1]
