"""What an audio file says about itself in its first and last bytes, where libsndfile keeps silent."""

import re
from typing import BinaryIO

import soundfile

HEAD_BYTES = 1024
OGG_PAGE_BYTES = 65307  # the largest page (RFC 3533, section 6)
STREAMED = 0x7FFF0000  # sizes from here on are what programs write that cannot know the size

_PROMISE = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)


def is_shortened(head: bytes) -> bool:
    """Whether `head` begins a NIST SPHERE file compressed with shorten."""
    return head.startswith(b"NIST_1A") and b"shorten" in head


def sphere_numbers(head: bytes) -> dict[str, int]:
    """The fields of a NIST SPHERE header that are whole numbers above 0, such as ``sample_rate``."""
    found = re.findall(rb"^(\w+) -i 0*([1-9]\d*)\s*$", head, re.MULTILINE)
    return {name.decode(): int(number) for name, number in found}


def frames_missing(sound: soundfile.SoundFile, head: bytes) -> int:
    """Frames that the header promises and the file lacks; libsndfile passes over them.

    Args:
        sound: the opened file.
        head: its first `HEAD_BYTES`.
    """
    if sound.format == "NIST":
        return max(0, sphere_numbers(head).get("sample_count", 0) - int(sound.frames))
    promise = _PROMISE.search(sound.extra_info)
    if promise is None or int(promise[1]) >= STREAMED:
        return 0
    promised, there = int(promise[1]), max(1, int(promise[2]))
    return max(0, round(int(sound.frames) * (promised - there) / there))


def ends_within_page(file: BinaryIO) -> bool:
    """Whether the last page of an Ogg file is cut short (RFC 3533, section 6: a table of segment lengths)."""
    file.seek(max(0, file.seek(0, 2) - OGG_PAGE_BYTES))
    tail = file.read()
    page = tail.rfind(b"OggS")
    table = page + 27
    if table > len(tail):
        return True
    segments = tail[page + 26]
    return table + segments + sum(tail[table : table + segments]) > len(tail)
