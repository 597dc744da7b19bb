"""How this folder was made: asterisk-core-sounds-en (G.722 and text) → Ogg Opus and transcripts.tsv.

    python make.py PACKAGES

PACKAGES holds Debian's asterisk-core-sounds-en and asterisk-core-sounds-en-g722 (1.6.1), unpacked with
`dpkg -x`. Needs ffmpeg, which decodes G.722.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import sys
from pathlib import Path

import soundfile

SOUNDS = "usr/share/asterisk/sounds/en_US_f_Allison"
TEXT = "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
OPUS_LEVEL = 0.97  # libsndfile's compression level: about 16 kbit/s

NOT_SPEECH = re.compile(r"beep|silence/|.*2tone|confbridge-(join|leave)$|tt-monkeys$")
NOT_AS_WRITTEN = {"demo-instruct", "spy-iax", "spy-iax2", "vm-intro"}  # figures, an acronym, a tone
SPOKEN = {  # prompts whose text is written otherwise than it is said
    "digits/a-m": "a m",
    "digits/p-m": "p m",
    "spy-h323": "h three two three",
    "spy-mgcp": "m g c p",
}
WORDS = {  # spelling mistakes and signs, in the order they are replaced
    "*": " star ",
    "#": " pound ",
    "3d": "three d",
    "www.asterisk.org": "w w w dot asterisk dot org",
    "pbx": "p b x",
    "ivr": "i v r",
    "umute": "unmute",
    "represenatives": "representatives",
    "exclaimation": "exclamation",
    "fourtieth": "fortieth",
    "un-indentified or witheld": "unidentified or withheld",
    "xray": "x ray",
    "usb": "u s b",
    "thru": "through",
}
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def spoken(prompt: str, text: str) -> str:
    """The words said, lower case, letters and apostrophes only."""
    if prompt in SPOKEN:
        return SPOKEN[prompt]
    text = re.sub(r"\[.\]", "", text.lower())
    for written, said in WORDS.items():
        text = text.replace(written, said)
    text = re.sub(r"\b(\d)\b", lambda digit: f" {DIGITS[int(digit[1])]} ", text)
    text = re.sub(r"\b(re|de|un)-(?=[a-z])", r"\1", text)
    return " ".join(re.sub(r"[^a-z0-9']", " ", text).split())


def subset(text: str) -> str:
    """Up to two words: train. Longer ones are divided by their text, so that no text is in two subsets."""
    share = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 2**32
    if len(text.split()) <= 2 or share >= 0.28:
        return "train"
    return "test" if share < 0.16 else "dev"


def decode(path: Path) -> tuple:
    """Samples of a raw G.722 file and their rate."""
    command = ["ffmpeg", "-v", "error", "-f", "g722", "-i", str(path), "-ar", "16000", "-f", "wav", "-"]
    return soundfile.read(io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout))


def main(packages: Path, folder: Path) -> None:
    text = gzip.decompress((packages / "asterisk-core-sounds-en" / TEXT).read_bytes()).decode()
    prompts = dict(re.findall(r"^([^;:\s]+): +(.*)$", text, re.MULTILINE))
    (folder / "audio").mkdir(exist_ok=True)
    lines = []
    for prompt, written in prompts.items():
        source = packages / "asterisk-core-sounds-en-g722" / SOUNDS / f"{prompt}.g722"
        if NOT_SPEECH.match(prompt) or prompt in NOT_AS_WRITTEN or not source.exists():
            continue
        name, words = prompt.replace("/", "-").lower(), spoken(prompt, written)
        samples, rate = decode(source)
        soundfile.write(
            folder / "audio" / f"{name}.opus",
            samples,
            rate,
            format="OGG",
            subtype="OPUS",
            compression_level=OPUS_LEVEL,
        )
        lines.append(f"{name}\t{subset(words)}\t{words}\n")
    (folder / "transcripts.tsv").write_text("".join(sorted(lines)), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent)
