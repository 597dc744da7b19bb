"""A Wall Street Journal in miniature: other recordings under its names, with all that is awkward in it."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from conftest import PROMPTS, SENTENCES

from asrkit.recognition.audio.reading import read_audio

LAYOUTS = ("discs", "merged", "nested")


class Said(NamedTuple):
    """One utterance: its file on its disc, the recording, its transcript, and the words."""

    disc: str
    file: str
    recording: Path
    dot: str
    text: str

    @property
    def id(self) -> str:
        return Path(self.file).stem.lower()


def _said(disc: str, file: str, recording: str, dot: str, text: str) -> Said:
    actual = PROMPTS / f"{recording}.opus"
    return Said(disc, file, actual if actual.exists() else SENTENCES / f"{recording}.flac", dot, text)


SAID = [
    _said(
        "11-1.1",
        "wsj0/si_tr_s/01i/01ic0201.wv1",
        "auth-thankyou",
        "Thank you .PERIOD [misc_noise]",
        "THANK YOU PERIOD",
    ),
    _said("11-1.1", "wsj0/si_tr_s/01i/01ic0202.wv1", "im-sorry", r"I\'m [<lip_smack] sorry", "I'M SORRY"),
    _said("11-1.1", "wsj0/si_tr_s/01i/01ic020a.wv1", "call-waiting", r"call . waiting ~", "CALL WAITING"),
    _said("11-1.1", "wsj0/si_tr_s/02b/02bc0201.wv1", "letters-ascii63", r"\?QUESTION\-MARK", "QUESTION MARK"),
    _said(
        "11-2.1", "wsj0/si_tr_s/02c/02cc0201.wv1", "vm-cust4", r"<folder> [door_slam>] eight", "FOLDER EIGHT"
    ),
    _said("11-2.1", "wsj0/si_tr_s/02c/02cc0202.wv1", "queue-less-than", r"*less* tha:n", "LESS THAN"),
    _said(
        "11-2.1", "wsj0/si_tr_s/02c/02cc0203.wv1", "queue-reporthold", r"hold --DASH time", "HOLD DASH TIME"
    ),
    _said("11-2.1", "wsj0/si_tr_s/401/401c0201.wv1", "lowercase", "lowercase", "LOWERCASE"),
    _said("13-1.1", "wsj1/si_tr_s/46b/46bc0101.wv1", "letters-ascii125", r"\}RIGHT\-BRACE", "RIGHT BRACE"),
    _said("13-1.1", "wsj1/si_tr_s/46b/46bc0102.wv1", "vm-cust1", "[hum/] folder five [/hum]", "FOLDER FIVE"),
    _said("13-1.1", "wsj1/si_tr_s/46b/46bc0103.wv1", "vm-cust2", r"<*folder*> ~six", "FOLDER SIX"),
    _said(
        "13-16.1",
        "WSJ1/SI_DT_20/4K2/4K2C0308.WV1",
        "sense-0930",
        r"Of course there isn\'t any guarantee the company will keep its hot hand [misc_noise]",
        "OF COURSE THERE ISN'T ANY GUARANTEE THE COMPANY WILL KEEP ITS HOT HAND",
    ),
    _said(
        "13-16.1",
        "WSJ1/SI_DT_20/4K2/4K2C030A.WV1",
        "sense-0880",
        r"[loud_breath] personal computers I\. B\. M\. introduced [door_slam]",
        "PERSONAL COMPUTERS I B M INTRODUCED",
    ),
    _said("13-16.1", "WSJ1/SI_DT_20/4K0/4K0C0301.WV1", "uppercase", "uppercase", "UPPERCASE"),
    _said("13-16.1", "WSJ1/SI_DT_05/4K1/4K1C0401.WV1", "activated", "act(ive)- activated", "ACT ACTIVATED"),
    _said("11-14.1", "wsj0/si_et_20/440/440c0201.wv1", "extension", "extension", "EXTENSION"),
    _said("11-14.1", "wsj0/si_et_20/441/441c0202.wv1", "you-entered", "you entered ", "YOU ENTERED"),
    _said("11-14.1", "wsj0/si_et_05/440/440c040a.wv1", "cancelled", "cancelled", "CANCELLED"),
    _said("13-33.1", "wsj1/si_et_h1/4oa/4oac0201.wv1", "digits-h-30", ".POINT thirty", "POINT THIRTY"),
    _said("13-33.1", "wsj1/si_et_h1/4oa/4oac0202.wv1", "digits-h-80", "eighty %PERCENT", "EIGHTY PERCENT"),
    _said("13-33.1", "wsj1/si_et_h2/4ob/4obc0301.wv1", "digits-mon-8", r"twenty\-two", "TWENTY TWO"),
]

SETS = {
    "train_si84": "01ic0201 01ic0202 01ic020a 02bc0201 02cc0201 02cc0202 02cc0203",
    "train_si284": "01ic0201 01ic0202 01ic020a 02bc0201 02cc0201 02cc0202 02cc0203 "
    "46bc0101 46bc0102 46bc0103",
    "test_dev93": "4k0c0301 4k2c0308",
    "test_dev93_5k": "4k1c0401",
    "test_eval92": "440c0201 441c0202",
    "test_eval92_5k": "440c040a",
    "test_eval93": "4oac0201 4oac0202",
    "test_eval93_5k": "4obc0301",
    "dev_dt_20": "4k0c0301 4k2c0308 4k2c030a",
    "dev_dt_05": "4k1c0401",
}

INDICES = {
    "11-13.1/wsj0/doc/indices/train/tr_s_wv1.ndx": """
;; File: tr_s_wv1.ndx, updated 04/26/94
;;
;; 84 speakers: 7236 utts
11_2_1: wsj0/si_tr_s/02c/02cc0201.wv1
11_2_1:wsj0/si_tr_s/02c/02cc0202.wv1
11_2_1:wsj0/si_tr_s/02c/02cc0203.wv1
11_1_1:wsj0/si_tr_s/01i/01ic0201.wv1
11_1_1:  wsj0/si_tr_s/01i/01ic0202.wv1
11_1_1:wsj0/si_tr_s/01i/01ic020a.wv1
11_1_1:wsj0/si_tr_s/02b/02bc0201.wv1
11_2_1:wsj0/si_tr_s/401/401c0201.wv1
""",
    "11-13.1/wsj0/doc/indices/test/nvp/si_et_20.ndx": """
;; without the suffix
11_14_1:wsj0/si_et_20/440/440c0201
11_14_1:wsj0/si_et_20/441/441c0202
""",
    "11-13.1/wsj0/doc/indices/test/nvp/si_et_05.ndx": "11_14_1:wsj0/si_et_05/440/440c040a\n",
    "13-34.1/wsj1/doc/indices/si_tr_s.ndx": """
;; WSJ1
13_1_1:wsj1/si_tr_s/46b/46bc0101.wv1
13_1_1:wsj1/si_tr_s/46b/46bc0102.wv1
13_1_1:wsj1/si_tr_s/46b/46bc0103.wv1
""",
    "13-34.1/wsj1/doc/indices/h1_p0.ndx": """
;; in small letters; the disc has capitals
13_16_1:wsj1/si_dt_20/4k0/4k0c0301.wv1
13_16_1:wsj1/si_dt_20/4k2/4k2c0308.wv1
""",
    "13-34.1/wsj1/doc/indices/h2_p0.ndx": "13_16_1:wsj1/si_dt_05/4k1/4k1c0401.wv1\n",
    "13-32.1/wsj1/doc/indices/wsj1/eval/h1_p0.ndx": """
;; the wrong disc
13_32_1: wsj1/si_et_h1/4oa/4oac0201.wv1
13_32_1: wsj1/si_et_h1/4oa/4oac0202.wv1
""",
    "13-32.1/wsj1/doc/indices/wsj1/eval/h2_p0.ndx": "13_32_1:wsj1/si_et_h2/4ob/4obc0301.wv1\n",
}

DOTS = {  # folder of the audio -> folder of the .dot files; by default beside it
    "wsj0/si_tr_s": "11-10.1/wsj0/transcrp/dots/si_tr_s",
    "wsj1/si_tr_s": "13-34.1/wsj1/trans/wsj1/si_tr_s",
    "WSJ1/SI_DT_20": "13-16.1/WSJ1/TRANS/SI_DT_20",
}


def build(root: Path, layout: str = "merged", *, shorten: bool = False) -> Path:
    """Write the corpus: on its discs, as one tree, or on discs in folders; audio plain or as if shortened."""
    for said in SAID:
        put(place(root, layout, f"{said.disc}/{said.file}"), sphere(said.recording, shorten))
        folder, _, _ = said.file.rpartition("/")
        above, _, speaker = folder.rpartition("/")
        session = f"{said.id[:6]}00.dot"
        name = session.upper() if said.file.isupper() else session
        dots = place(root, layout, f"{DOTS.get(above, f'{said.disc}/{above}')}/{speaker}/{name}")
        put(dots, (dots.read_bytes() if dots.exists() else b"") + f"{said.dot} ({said.id})\n".encode())
    put(place(root, layout, f"11-7.1/{SAID[0].file[:-1]}2"), b"the second microphone")
    for path, lines in INDICES.items():
        put(place(root, layout, path), lines.encode())
    return root


def place(root: Path, layout: str, path: str) -> Path:
    """Where a layout has the file ``disc/path``."""
    disc, _, inside = path.partition("/")
    if layout == "nested":
        return (
            root / ("WSJ0/csr_1" if disc.startswith("11") else "LDC94S13B") / disc.replace("-", "_") / inside
        )
    return root / inside if layout == "merged" else root / path


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def samples(recording: Path) -> np.ndarray:
    """A recording as int16[N] at 16 kHz."""
    return np.rint(read_audio(recording) * 32768).clip(-32768, 32767).astype("<i2")


def sphere(recording: Path, shorten: bool = False) -> bytes:
    """A recording as NIST SPHERE; zlib takes the place of shorten, whose stand-in undoes it."""
    wave = samples(recording)
    coding = "-s26 pcm,embedded-shorten-v2.00" if shorten else "-s3 pcm"
    fields = (
        f"utterance_id -s8 01ic0201\nsample_count -i {len(wave)}\nsample_rate -i 16000\nchannel_count -i 1\n"
        "sample_n_bytes -i 2\nsample_byte_format -s2 01\nsample_sig_bits -i 16\n"
        f"sample_coding {coding}\nend_head\n"
    )
    body = zlib.compress(wave.tobytes(), 1) if shorten else wave.tobytes()
    return f"NIST_1A\n   1024\n{fields}".encode().ljust(1024) + body
