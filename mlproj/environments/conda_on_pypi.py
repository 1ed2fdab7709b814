"""A conda environment as a virtualenv: its `pip:` part, and the conda packages that PyPI has by the same name."""

from __future__ import annotations

import re

from mlproj.environments.requirements import normalised_name
from mlproj.manifest.models import Conda, Virtualenv
from mlproj.text import one_line, plural

# What conda has that is no Python package, by name or by the start of it: compilers, libraries, other languages.
_NOT_PYTHON = re.compile(
    r"(_|lib(?!rosa|clang$|sass$|cst$|tmux$)|r-|perl-|ld_impl|gcc|gxx|gfortran|clang|mkl|blas|openblas|cuda|cudnn|nccl"
    r"|vc$|vs\d|ca-certificates|openssl|openjdk|nodejs|git$|git-lfs|make$|m2-|msys2|tk$|xz$|zlib$|zstd$|sqlite$|readline|ncurses"
    r"|bzip2|freetype|jpeg|ffmpeg|graphviz$|boost|hdf5|nomkl|intel-openmp|pytorch-cuda|pytorch-mutex|cpuonly|conda$|mamba$|java)"
)
# Conda's names of Python packages that are called otherwise there.
NAMES_ON_PYPI = {
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "matplotlib-base": "matplotlib",
    "opencv": "opencv-python",
    "py-opencv": "opencv-python",
    "py-xgboost": "xgboost",
    "pytables": "tables",
    "python-graphviz": "graphviz",
    "tensorflow-gpu": "tensorflow",
    "msgpack-python": "msgpack",
    "importlib_metadata": "importlib-metadata",
}
_SPECIFICATION = re.compile(
    r"(?:[\w./-]+::)?(?P<name>[\w.-]+)\s*(?P<version>[=<>!~][^\s\[]*)?(?P<build>[\s=].*)?(?:\[.*\])?"
)


def virtualenv_of(conda: Conda) -> tuple[Virtualenv, tuple[str, ...]]:
    """The virtualenv that comes nearest to a conda environment, and a notice of what was taken and what left out."""
    python: str | None = None
    taken: list[str] = []
    left_out: list[str] = []
    named = {normalised_name(re.split(r"[\s\[=<>!~;@]", line, maxsplit=1)[0]) for line in conda.pip}
    for dependency in conda.dependencies:
        # `numpy 1.26` is another way to write `numpy==1.26`, and `numpy[version='>=1.26']` one more.
        plain = re.sub(r"^(\S+)\s+(?=\d)", r"\1==", dependency)
        plain = re.sub(r"\[.*?\bversion\s*=\s*['\"]?([^'\",\]]+).*\]$", r"\1", plain)
        matched = _SPECIFICATION.fullmatch(plain)
        name = matched["name"].lower() if matched else ""
        if matched is None or _NOT_PYTHON.match(name):
            left_out.append(dependency)
        elif name == "python":
            python = _python(matched["version"])
        elif normalised_name(NAMES_ON_PYPI.get(name, name)) not in named:
            taken.append(NAMES_ON_PYPI.get(name, name) + _version(matched["version"]))
    told = [f"{one_line(conda.file or 'conda')}: a virtualenv is made of the conda environment"]
    told += [f"from PyPI: {', '.join(map(one_line, taken))}"] if taken else []
    told += [f"left out, as no Python packages: {', '.join(map(one_line, left_out))}"] if left_out else []
    told += [f"and {plural(len(conda.pip), 'requirement')} of its `pip:` part"] if conda.pip else []
    told += ["its variables are not set"] if conda.variables else []
    names = [normalised_name(re.split(r"[=<>!~]", each)[0]) for each in taken]
    virtualenv = Virtualenv(python=python, lines=[*taken, *conda.pip], nearest_python=True, dispensable=names)
    return virtualenv, ("; ".join(told),)


def _python(version: str | None) -> str | None:
    if version is None:
        return None
    exact = re.fullmatch(r"={1,2}\s*(\d+(?:\.\d+)*)(?:\.\*)?(=.*)?", version)
    return exact[1] if exact else version.rstrip("*").rstrip(".")


def _version(version: str | None) -> str:
    """Conda's version in pip's words: ``=1.2`` means ``==1.2.*`` there, and a build after it means nothing here."""
    if version is None or version in ("=*", "==*"):
        return ""
    fuzzy = re.fullmatch(r"=(?!=)\s*([\w.]+?)(?:\.?\*)?(?:=.*)?", version)
    if fuzzy:
        return f"=={fuzzy[1]}.*"
    exact = re.fullmatch(r"==([\w.]+)(?:=.*)?", version)
    return f"=={exact[1]}" if exact else version
