"""Which words of a command are code for what it runs: of interpreters, of programs like `sed`, of bash's builtins."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mlproj.parameters.bash_commands import EXPANSION, PLACEHOLDER, SUBSTITUTION, plain


@dataclass(frozen=True)
class Place:
    """A place where bash, or what it runs, would execute even the value of a variable.

    In ``of_code`` a plain word is no harm, as it has nothing to be code with; elsewhere a word is a name whose value is
    evaluated in turn, or a command by itself. ``of_names`` is a place for numbers and names, not for code.
    """

    text: str
    of_code: bool = False
    of_names: bool = False


@dataclass
class Code:
    """Of a command: the words that are code, by their index, those that name a file of code, and whether stdin is."""

    words: dict[int, Place] = field(default_factory=dict)
    files: set[int] = field(default_factory=set)
    standard_input: Place | None = None


@dataclass(frozen=True)
class _Options:
    """How an interpreter is told its code: by which letters, which others take a value, by which long options."""

    code: str
    taking_value: str = ""
    long_code: str = r"(?!)"
    long_taking_value: str = r"(?!)"
    last: str = ""  # the letter after which everything else belongs to a module


_SHELL = re.compile(r"(.*/)?(r?bash|da?sh|sh|zsh|m?ksh|ash|fish|rbash|csh|tcsh)")
_PYTHON = re.compile(r"(.*/)?(i?python|pypy)[\d.]*")
_PYTHON_OPTIONS = _Options("c", "WXQ", long_taking_value="--check-hash-based-pycs", last="m")
_LANGUAGES = {
    r"perl[\d.]*": _Options("eEM", "I"),
    r"ruby[\d.]*": _Options("e", "ICrEKT"),
    r"node|nodejs|bun|deno": _Options("ep", "rC", "--(eval|print)|eval", "--(require|import|loader|conditions)"),
    r"Rscript|R|littler": _Options("e", "fgd"),
    r"julia": _Options("eE", "LJptCHP", "--(eval|print)"),
    r"php[\d.]*": _Options("rBRE", "fcdzSt", "--(run|process-(begin|code|end))"),
    r"lua(jit)?[\d.]*": _Options("e", "l"),
    r"octave(-cli)?|gnuplot|osascript|expect|scala|groovy": _Options("ce", "", "--eval"),
    r"matlab|pwsh|powershell": _Options("", "", r"-{1,2}(batch|r|c|command|encodedcommand)"),
}
# A program whose name is an expansion could be any of them.
_UNKNOWN = _Options("ceE", "oOWX", "--(eval|command|print)")
_WRAPPERS = re.compile(
    r"(.*/)?(command|builtin|exec|env|nohup|time|sudo|doas|nice|timeout|stdbuf|setsid|ionice|chrt|taskset|unbuffer|"
    r"flock|chroot|xargs|find|coproc|strace|busybox|!)"
)
# Programs of which no word is run as a program.
_HARMLESS = frozenset(("echo", "printf", "test", "[", "[[", "cd", "export", "mkdir", "rm", "cp", "mv", "ls", "cat"))
_ALL_CODE = re.compile(r"(.*/)?(ssh|su|runuser|parallel|watch)")
_AFTER_OPTION = {
    r"psql": ("c", "--command"),
    r"mysql|mariadb": ("e", "--(execute|init-command)"),
    r"flock|script|sg|newgrp": ("c", "--command"),
}
_EVALUATING = frozenset(("let", "trap", "alias", "unset", "read", "mapfile", "readarray", "getopts"))
_COMPLETING = frozenset(("compgen", "complete", "bind"))
_DECLARING = frozenset(("declare", "typeset", "local", "readonly"))
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\[[^\]]*\])?\+?=", re.DOTALL)
_EXECUTED_VARIABLE = re.compile(
    r"(PS[0-4]|PROMPT_COMMAND|BASH_ENV|LD_PRELOAD|LD_AUDIT|PYTHONSTARTUP|PERL5OPT|PERL5DB|RUBYOPT|NODE_OPTIONS|"
    r"GIT_SSH_COMMAND|BASH_FUNC_.*)\+?="
)
_STANDARD_INPUT = re.compile(r"-|/dev/stdin|/dev/fd/\d+|/proc/self/fd/\d+")
_UNQUOTED_EXPANSION = re.compile(f"({EXPANSION}[^{EXPANSION}]*{EXPANSION}|{SUBSTITUTION})+")


def code_of(words: Sequence[str]) -> Code:
    """What of a command's words is code. They are as ``bash_reader`` marks them."""
    code = Code()
    start = 0
    while start < len(words) and _ASSIGNMENT.match(words[start]):
        start += 1
    while start < len(words) and words[start] in ("-p", "--"):
        start += 1  # of the keyword `time`
    name = plain(words[start]) if start < len(words) else ""
    if start == len(words) or name in _DECLARING or name == "export" or _WRAPPERS.fullmatch(name):
        assigned = range(len(words))
    else:
        assigned = range(start)
    for index in assigned:
        variable = _EXECUTED_VARIABLE.match(plain(words[index]))
        if variable:
            text = f"in the variable `{variable[1]}`, whose value is executed"
            code.words[index] = Place(text, of_code=True)
    if start < len(words):
        _read_program(words, start, code, wrapped=False)
    return code


def _read_program(words: Sequence[str], at: int, code: Code, *, wrapped: bool) -> None:
    """Add what the program at ``at`` takes as code."""
    name = plain(words[at])
    if _WRAPPERS.fullmatch(name):
        _read_special(words, at, code)
        for index in range(at + 1, len(words)):
            if not (
                name.endswith("find")
                and _is_unknown(words[index])
                and not words[index - 1].startswith(("-exec", "-ok"))
            ):
                _read_program(words, index, code, wrapped=True)
        if name.endswith("xargs") and code.words:
            code.standard_input = next(iter(code.words.values()))
    elif (
        _read_interpreter(words, at, code)
        or _read_special(words, at, code)
        or _read_builtin(words, at, code)
        or wrapped
        or name in _HARMLESS
    ):
        return
    else:
        # Any other program could run what its words say, as `conda run`, `srun` and `docker run` do.
        for index in range(at + 1, len(words)):
            if not _is_unknown(words[index]):
                _read_interpreter(words, index, code)


def _is_unknown(word: str) -> bool:
    return any(mark in word for mark in (EXPANSION, SUBSTITUTION, PLACEHOLDER))


def _read_interpreter(words: Sequence[str], at: int, code: Code) -> bool:
    name = plain(words[at])
    options = None
    if _SHELL.fullmatch(name):
        _read_shell(words, at, code)
        return True
    if _PYTHON.fullmatch(name):
        options = _PYTHON_OPTIONS
    elif _is_unknown(name) and not name.startswith("-") and not _ASSIGNMENT.match(name):
        options = _UNKNOWN
    else:
        base = name.rpartition("/")[2]
        options = next((each for pattern, each in _LANGUAGES.items() if re.fullmatch(pattern, base)), None)
    if options is None:
        return False
    shown = "a program" if options is _UNKNOWN else name
    of_code = options in (_PYTHON_OPTIONS, _UNKNOWN)
    _read_options(words, at, code, options, Place(f"in the code that is handed to `{shown}`", of_code))
    return True


def _read_shell(words: Sequence[str], at: int, code: Code) -> None:
    place = Place(f"in the code that is handed to `{plain(words[at])}`", of_code=True)
    has_code, reads_input = False, False
    index = at + 1
    while index < len(words):
        word = plain(words[index])
        index += 1
        if word in ("-", "--"):
            break
        if word.startswith("--"):
            index += word in ("--rcfile", "--init-file")
        elif word[:1] in ("-", "+") and len(word) > 1:
            has_code = has_code or "c" in word or PLACEHOLDER in word or EXPANSION in word
            reads_input = reads_input or "s" in word
            index += len(re.findall("[oO]", word))
        elif not _UNQUOTED_EXPANSION.fullmatch(words[index - 1]) or has_code:
            index -= 1
            break
    if has_code and index < len(words):
        code.words[index] = place
    elif index < len(words) and not reads_input and not _STANDARD_INPUT.fullmatch(plain(words[index])):
        code.files.add(index)
    elif not has_code:
        code.standard_input = place


def _read_options(words: Sequence[str], at: int, code: Code, options: _Options, place: Place) -> None:
    index = at + 1
    has_code = False
    while index < len(words):
        word = plain(words[index])
        if word == "--" or not word.startswith("-") or word == "-":
            index += word == "--"
            if _UNQUOTED_EXPANSION.fullmatch(words[index]) if index < len(words) else False:
                index += 1
                continue
            if re.fullmatch(options.long_code, word):
                code.words.update(dict.fromkeys(range(index + 1, len(words)), place))
                return
            break
        index += 1
        long, equals, _ = word.partition("=")
        if re.fullmatch(options.long_code, long, re.IGNORECASE):
            has_code = True
            code.words[index - 1 if equals else index] = place
            index += not equals
        elif re.fullmatch(options.long_taking_value, long):
            index += not equals
        elif not word.startswith("--"):
            found = re.search(f"[{options.code}{options.taking_value}{options.last}{PLACEHOLDER}]|$", word[1:])
            letter = found[0] if found else ""
            glued = found is not None and found.end() + 1 < len(word)
            if letter and letter in options.code + PLACEHOLDER:
                has_code = True
                code.words[index - 1] = place
                # `-pe` of node is two options, and the code is the next word.
                if not glued or re.fullmatch(r"[a-zA-Z]{1,2}", word[1 + found.end() :] if found else ""):
                    index = _mark_next(words, index, code, options, place)
            elif letter and letter == options.last:
                return
            elif letter:
                index += not glued
    if has_code:
        return
    if index < len(words) and not _STANDARD_INPUT.fullmatch(plain(words[index])):
        code.files.add(index)
    else:
        code.standard_input = place


def _mark_next(words: Sequence[str], index: int, code: Code, options: _Options, place: Place) -> int:
    """Mark the word after a code option; of a program that is not known, all up to the first that is no option."""
    while index < len(words):
        code.words[index] = place
        index += 1
        if options is not _UNKNOWN or not plain(words[index - 1]).startswith("-"):
            break
    return index


def _read_special(words: Sequence[str], at: int, code: Code) -> bool:
    """Programs with a language of their own."""
    base = plain(words[at]).rpartition("/")[2]
    place = Place(f"as an argument of `{base}`, which takes code")
    operands = list(range(at + 1, len(words)))
    if _ALL_CODE.fullmatch(base):
        place = Place(place.text, of_code=base in ("ssh", "parallel", "watch"))
        code.words.update(dict.fromkeys(operands, place))
        code.standard_input = place
        return True
    if re.fullmatch(r"[gmno]?awk", base):
        code.words.update(dict.fromkeys(_programs(words, at, "e", "fvFilE", r"--source", r"--(f|a|i|l|e).*"), place))
        return True
    if re.fullmatch(r"g?sed", base):
        code.words.update(dict.fromkeys(_programs(words, at, "e", "fl", r"--e\w*", r"--(fi|l).*", glued="i"), place))
        return True
    if base in ("sqlite3", "duckdb"):
        found = list(_operands(words, at, r"-(init|separator|newline|nullvalue|maxsize|mmap|lookaside|pagecache|vfs)"))
        code.words.update(dict.fromkeys(found[1:], place))
        code.words.update({i + 1: place for i in operands if re.fullmatch(r"-?-cmd|-c|-s", plain(words[i]))})
        code.standard_input = None if found[1:] else place
        return True
    for pattern, (letter, long) in _AFTER_OPTION.items():
        if re.fullmatch(pattern, base):
            found = list(_after_option(words, at, letter, long))
            code.words.update(dict.fromkeys(found, place))
            takes_input = base in ("psql", "mysql", "mariadb") and not found
            code.standard_input = place if takes_input else code.standard_input
            return True
    return False


def _programs(
    words: Sequence[str],
    at: int,
    code: str,
    taking_value: str,
    long_code: str,
    long_taking_value: str,
    glued: str = "_",
) -> Iterator[int]:
    """The programs of `sed` or `awk`: what follows the options for it, else the first operand."""
    index, given, operand = at + 1, False, None
    while index < len(words):
        word = plain(words[index])
        index += 1
        long, equals, _ = word.partition("=")
        if word == "--":
            operand = index if operand is None else operand
            break
        if word.startswith("--"):
            if re.fullmatch(long_code, long):
                given = True
                yield index - 1 if equals else index
                index += not equals
            elif re.fullmatch(long_taking_value, long):
                given = given or re.match("--(fil|e)", long) is not None
                index += not equals
        elif word.startswith("-") and len(word) > 1:
            found = re.search(f"[{code}{taking_value}{glued}{PLACEHOLDER}]", word[1:])
            if found is None or found[0] == glued:
                continue
            is_glued = found.end() + 1 < len(word)
            given = given or found[0] in code + "fE"
            if found[0] in code + PLACEHOLDER:
                yield index - 1 if is_glued else index
            index += not is_glued
        elif operand is None:
            operand = index - 1
    if not given and operand is not None:
        yield operand


def _operands(words: Sequence[str], at: int, taking_value: str) -> Iterator[int]:
    index = at + 1
    while index < len(words):
        word = plain(words[index])
        if not word.startswith("-"):
            yield index
        index += 1 + (re.fullmatch(taking_value, word) is not None)


def _after_option(words: Sequence[str], at: int, letter: str, long: str) -> Iterator[int]:
    for index in range(at + 1, len(words)):
        word = plain(words[index])
        name, equals, _ = word.partition("=")
        if re.fullmatch(long, name):
            yield index if equals else index + 1
        elif re.match(rf"-\w*{letter}", word) and not word.startswith("--"):
            yield index
            if word.endswith(letter):
                yield index + 1


def _read_builtin(words: Sequence[str], at: int, code: Code) -> bool:
    """Builtins that execute their arguments, or evaluate them as names whose subscripts are arithmetic."""
    name = plain(words[at])
    rest = range(at + 1, len(words))
    evaluated = Place(f"as an argument of `{name}`, which evaluates it", of_names=True)
    if name == "eval" or name in _COMPLETING:
        code.words.update({index: Place(evaluated.text, of_code=True) for index in rest})
    elif name in ("source", "."):
        first = next((index for index in rest if plain(words[index]) != "--"), None)
        if first is not None:
            code.words[first] = Place(evaluated.text, of_code=True)
            if _STANDARD_INPUT.fullmatch(plain(words[first])):
                code.standard_input = Place(f"in the code that is handed to `{name}`", of_code=True)
    elif name in _EVALUATING:
        of_code = name in ("unset", "read", "mapfile", "readarray", "getopts")
        place = Place(evaluated.text, of_code, of_names=name not in ("trap", "alias", "mapfile", "readarray"))
        code.words.update(dict.fromkeys(rest, place))
    elif name in _DECLARING:
        options = "".join(plain(words[index]) for index in rest if words[index][:1] in ("-", "+"))
        for index in rest:
            named = re.match(r"[A-Za-z_]\w*\+?=", plain(words[index]))
            if not named or re.search("[inaA]", options):
                code.words.setdefault(index, evaluated)
    elif name in ("printf", "test", "["):
        option = "-v" if name == "printf" else "-[vR]"
        for index in rest:
            if re.fullmatch(option, plain(words[index - 1])):
                place = Place(f"as a variable's name for `{name} -v`, which evaluates it", of_code=True, of_names=True)
                code.words[index] = place
    else:
        return False
    return True
