"""Ways to spoil a call: its flags, its standard input, and what stands where it writes."""

from __future__ import annotations

import os
import random

from mutators import ODD_TEXTS, Mutator, named, one_of, short
from sandbox import Case

_WORK = (
    *("steps", "epochs", "games", "episodes", "simulations", "positions", "iterations", "theorems", "held-out"),
    *("lanes", "minutes", "proposals", "seconds", "limit", "actors", "depth", "layers", "plies", "ramp", "mcts"),
)
"""Words of flags that ask for work: a large number there is a long wait, and no fault."""


_ODD_NUMBERS = (
    "",
    "-1",
    "0",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "9" * 5000,
    str(2**63),
    str(2**64),
    "²",
    "1:30",
    "x",
    "1.5",
)


def a_flag(*names: str) -> Mutator:
    """An odd value for one of the flags `names`, or for one that stands in the command."""

    def mutate(case: Case, draw: random.Random) -> str:
        present = [text for text in case.argv if text.startswith("--")]
        flag = draw.choice((*names, *present) or ("--seed",))
        value = draw.choice(ODD_TEXTS)
        if any(word in flag for word in _WORK):
            value = draw.choice(_ODD_NUMBERS)
        how = draw.random()
        if flag in case.argv and case.argv.index(flag) + 1 < len(case.argv) and how < 0.8:
            case.argv[case.argv.index(flag) + 1] = value
        elif how < 0.9:
            case.argv += [flag, value]
        else:
            case.argv += [f"{flag}={value}"]
        return f"{flag} {short(value)}"

    return mutate


def an_argument(case: Case, draw: random.Random) -> str:
    """An argument dropped, doubled, swapped, misspelled or odd."""
    how = draw.choice(("drop", "double", "swap", "odd", "odd", "odd", "misspell", "help", "unknown"))
    at = draw.randrange(1, len(case.argv)) if len(case.argv) > 1 else 0
    if how == "drop":
        del case.argv[at:]
    elif how == "double":
        case.argv.insert(at, case.argv[at])
    elif how == "swap":
        other = draw.randrange(len(case.argv))
        case.argv[at], case.argv[other] = case.argv[other], case.argv[at]
    elif how == "odd":
        case.argv[at] = draw.choice(ODD_TEXTS)
    elif how == "misspell":
        case.argv[at] = case.argv[at][1:] + case.argv[at][:1]
    elif how == "help":
        case.argv.append("--help")
    else:
        unknown = draw.choice(("--nonsense", "-x", "---", "--", "-", "--=", "--json=maybe", "extra"))
        case.argv += [unknown, "1"][: draw.choice((1, 2))]
    return f"{how} argument {at}"


_ODD_INPUTS = (
    None, b"", b"\0", b"\xff\xfe\n", b"\n" * 500, b"a" * 70_000, b"undo\nhint\nboard\n99\n-1\na1\nb2\n5\n", b"@P\n",
    "²\n٣\n".encode(), b"9" * 5000 + b"\n", b"quit", b"\x1b[A\n", b"hint\nundo\nundo\n1\nundo\nhint\n4\n", b"@P",
    b"@T\n@P\n\r@P",
)  # fmt: skip


def standard_input(case: Case, draw: random.Random) -> str:
    """A closed standard input, or odd bytes on it."""
    case.stdin = draw.choice(_ODD_INPUTS)
    return f"standard input {short(case.stdin)}"


def output_onto(flag: str | None, *patterns: str) -> Mutator:
    """What the command writes is put onto something that is there: another file, a folder, a fifo, a link, a path
    through a file. `flag` None: the last argument is where it writes."""

    def mutate(case: Case, draw: random.Random) -> str:
        odd = ("fifo", "link", "loop", "folder", "through", "long", "undecodable", "socket")
        how = draw.choice(("file",) * 4 + odd)
        target = "out"
        if how == "file":
            target = named(case, one_of(case, draw, patterns or ("*", "*/*", "*/*/*", "*/*/*/*")))
        elif how == "fifo":
            os.mkfifo(case.folder / target)
        elif how == "link":
            (case.folder / target).symlink_to(named(case, one_of(case, draw, ("*.txt", "*.db", "*.yaml"))))
        elif how == "loop":
            (case.folder / target).symlink_to(target)
        elif how == "folder":
            (case.folder / target).mkdir()
            (case.folder / target / "kept.txt").write_text("kept")
        elif how == "through":
            target = "notes.txt/out"
        elif how == "long":
            target = draw.choice(("a" * 300, "b/" * 3000 + "c"))
        elif how == "undecodable":
            target = "\udcff\udcfe"
        else:
            os.mknod(case.folder / target, 0o140644)
        if flag is None:
            case.argv[-1] = target
        elif flag in case.argv:
            case.argv[case.argv.index(flag) + 1] = target
        else:
            case.argv += [flag, target]
        return f"{flag or 'output'} onto {how} {short(target)}"

    return mutate
