"""A corpus has a fingerprint, and its split holds out whole theorems: counted here by brute force."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.core.errors import EvidenceError
from clew.proofs.corpus import (
    Corpus,
    measure_leakage,
    read_corpus,
    split_by_file,
    split_by_theorem,
    theorem_of,
)
from clew.proofs.files import Proof, file_name, render, write_proof
from clew.proofs.statistics import as_table, corpus_figures, histogram, section_order


def goal_of(theorem: int | None, goal: int, steps: int = 1) -> Proof:
    """A proof of goal number `goal`, inside theorem number `theorem`."""
    return Proof(
        context=None if theorem is None else f"theorem t{theorem}(a: A) {{\n    a = a\n}} by {{",
        goal=f"    f{goal}(a) = a",
        premise=None,
        counterfactual=f"f{goal}(a) != a",
        steps=tuple(f"step {goal} {number}" for number in range(steps)),
    )


def corpus_of(proofs: list[Proof]) -> Corpus:
    """A corpus that stands on no disk."""
    texts = tuple(map(render, proofs))
    return Corpus(
        folder=Path("drawn"),
        names=tuple(map(file_name, range(len(proofs)))),
        texts=texts,
        proofs=tuple(proofs),
        total_bytes=sum(len(text.encode()) for text in texts),
        strays=(),
        fingerprint="drawn",
    )


def write_corpus(folder: Path, proofs: list[Proof]) -> Path:
    for number, proof in enumerate(proofs):
        write_proof(folder / file_name(number), proof)
    return folder


corpora = st.lists(
    st.builds(goal_of, st.none() | st.integers(0, 8), st.integers(0, 12), st.integers(0, 2)), min_size=2, max_size=40
).map(corpus_of)


def test_a_corpus_holds_texts_proofs_bytes_and_strays(tmp_path: Path):
    proofs = [goal_of(1, 1), goal_of(None, 2, steps=0), goal_of(2, 3, steps=4)]
    write_corpus(tmp_path, proofs)
    (tmp_path / "README").write_text("not a proof")
    corpus = read_corpus(tmp_path)
    assert corpus.proofs == tuple(proofs)
    assert corpus.texts == tuple(map(render, proofs))
    assert corpus.names == ("proof_00000.txt", "proof_00001.txt", "proof_00002.txt")
    assert corpus.total_bytes == sum(path.stat().st_size for path in tmp_path.glob("proof_*.txt"))
    assert corpus.strays == ("README",)
    assert corpus.stray_notice() == "left alone, no proof files: README"
    assert len(corpus) == 3


def test_a_notice_names_five_strays_and_counts_the_rest():
    corpus = corpus_of([goal_of(1, 1)])
    assert corpus.stray_notice() is None
    assert dataclasses.replace(corpus, strays=tuple("abcdefgh")).stray_notice() == (
        "left alone, no proof files: a, b, c, d, e and 3 more"
    )


def test_the_fingerprint_depends_on_names_and_content_and_on_nothing_else(tmp_path: Path):
    first = write_corpus(tmp_path / "first", [goal_of(1, 1), goal_of(2, 2)])
    fingerprint = read_corpus(first).fingerprint
    moved = Path(shutil.copytree(first, tmp_path / "moved"))
    (moved / "stray.md").write_text("left alone")
    assert read_corpus(moved).fingerprint == fingerprint

    (moved / file_name(1)).rename(moved / file_name(2))
    assert read_corpus(moved).fingerprint != fingerprint
    (moved / file_name(2)).rename(moved / file_name(1))
    assert read_corpus(moved).fingerprint == fingerprint
    write_proof(moved / file_name(1), goal_of(2, 3))
    assert read_corpus(moved).fingerprint != fingerprint


def test_broken_files_stop_the_reading_and_are_counted(tmp_path: Path):
    write_corpus(tmp_path, [goal_of(number, number) for number in range(4)])
    (tmp_path / file_name(1)).write_bytes(b"@G\nx\n")
    (tmp_path / file_name(3)).write_bytes(b"@G\n\xff\n")
    with pytest.raises(EvidenceError, match=r"proof_00001\.txt:2: .* 1 more of the 4 files are broken\."):
        read_corpus(tmp_path)


@settings(max_examples=60)
@given(corpus=corpora, fraction=st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9]), seed=st.integers(0, 3))
def test_no_validation_file_has_a_relative_in_training(corpus: Corpus, fraction: float, seed: int):
    try:
        split = split_by_theorem(corpus, fraction, seed)
    except EvidenceError:
        # Only where all files hang together. The oracle: spread from file 0 to every relative until nothing changes.
        reached = {0}
        for _ in range(len(corpus)):
            reached |= {
                other
                for other, proof in enumerate(corpus.proofs)
                for index in reached
                if theorem_of(proof) == theorem_of(corpus.proofs[index])
                or (proof.goal, proof.counterfactual)
                == (corpus.proofs[index].goal, corpus.proofs[index].counterfactual)
            }
        assert reached == set(range(len(corpus)))
        return
    assert sorted([*split.train, *split.validation]) == list(range(len(corpus)))
    assert split.train
    assert split.validation
    for held_out in split.validation:
        for trained_on in split.train:
            assert theorem_of(corpus.proofs[held_out]) != theorem_of(corpus.proofs[trained_on])
            assert corpus.proofs[held_out].goal != corpus.proofs[trained_on].goal
    assert set(split.leakage.shares().values()) == {0.0}
    assert split == split_by_theorem(corpus, fraction, seed)


@settings(max_examples=60)
@given(corpus=corpora, seed=st.integers(0, 3))
def test_the_leakage_of_a_split_by_file_is_what_brute_force_counts(corpus: Corpus, seed: int):
    split = split_by_file(corpus, 0.3, seed)
    head_lines = goals = copies = 0
    for index in split.validation:
        proof = corpus.proofs[index]
        known = [corpus.proofs[other] for other in split.train]
        first = (proof.context or proof.goal).splitlines()[0]
        head_lines += any(first == (other.context or other.goal).splitlines()[0] for other in known)
        goals += any((proof.goal, proof.counterfactual) == (other.goal, other.counterfactual) for other in known)
        copies += proof in known
    assert (split.leakage.same_head_line, split.leakage.same_goal, split.leakage.exact_copies) == (
        head_lines,
        goals,
        copies,
    )
    assert measure_leakage(corpus, split.train, split.validation) == split.leakage


def test_the_share_held_out_is_the_one_asked_for_when_theorems_are_small():
    corpus = corpus_of([goal_of(number // 3, number) for number in range(900)])
    for fraction in (0.05, 0.1, 0.5):
        assert len(split_by_theorem(corpus, fraction, 42).validation) == round(fraction * 900)
        assert len(split_by_file(corpus, fraction, 42).validation) == round(fraction * 900)


def test_another_seed_holds_out_other_theorems_and_added_files_move_few():
    proofs = [goal_of(number // 2, number) for number in range(400)]
    held_out = set(split_by_theorem(corpus_of(proofs), 0.1, 0).validation)
    assert len(held_out & set(split_by_theorem(corpus_of(proofs), 0.1, 1).validation)) < 20
    grown = split_by_theorem(
        corpus_of([*proofs, *(goal_of(1000 + number, 1000 + number) for number in range(4))]), 0.1, 0
    )
    assert len(held_out & set(grown.validation)) > 30


def test_every_theorem_has_its_chance_of_being_held_out():
    corpus = corpus_of([goal_of(number // 2, number) for number in range(40)])
    counts = np.zeros(40)
    for seed in range(400):
        counts[list(split_by_theorem(corpus, 0.1, seed).validation)] += 1
    # 40 expected of each file, deviation 6.
    assert counts.min() > 15
    assert counts.max() < 70


def test_a_corpus_of_large_theorems_holds_out_the_smallest():
    corpus = corpus_of([goal_of(0 if number < 6 else 1, number) for number in range(10)])
    assert split_by_theorem(corpus, 0.1, 0).validation == (6, 7, 8, 9)


def test_what_cannot_be_split_is_refused():
    with pytest.raises(EvidenceError, match="holds one proof file"):
        split_by_theorem(corpus_of([goal_of(1, 1)]), 0.1, 0)
    with pytest.raises(EvidenceError, match="holds one proof file"):
        split_by_file(corpus_of([goal_of(1, 1)]), 0.1, 0)
    with pytest.raises(EvidenceError, match="belong to one theorem"):
        split_by_theorem(corpus_of([goal_of(1, 1), goal_of(1, 2)]), 0.1, 0)
    with pytest.raises(EvidenceError, match="between 0 and 1"):
        split_by_theorem(corpus_of([goal_of(1, 1), goal_of(2, 2)]), 1.0, 0)


def test_figures_of_a_corpus_worked_by_hand(tmp_path: Path):
    write_corpus(tmp_path, [goal_of(1, 1, steps=2), goal_of(None, 2, steps=0), goal_of(1, 3, steps=40)])
    corpus = read_corpus(tmp_path)
    figures = corpus_figures(corpus, 0.3, 0)
    assert figures["files"] == 3
    assert figures["bytes"] == sum(map(len, corpus.texts))
    assert figures["lines"] == sum(text.count("\n") for text in corpus.texts) == 11 + 5 + 49
    assert figures["section_orders"] == {"T G C P": 2, "G C P": 1}
    assert figures["proof_steps"]["total"] == 42
    assert figures["proof_steps"]["without_steps"] == 1
    assert figures["proof_steps"]["histogram"]["33+"] == 1
    assert sum(figures["proof_steps"]["histogram"].values()) == 3
    assert figures["split"]["by_theorem"]["validation_files"] == 1
    assert "by theorem (ours)" in as_table(figures)


def test_a_corpus_that_cannot_be_split_still_has_figures(tmp_path: Path):
    figures = corpus_figures(read_corpus(write_corpus(tmp_path, [goal_of(1, 1)])), 0.1, 0)
    assert figures["files"] == 1
    assert "none can be held out" in as_table(figures)


def test_histogram_classes_cover_every_length_once():
    lengths = [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 32, 33, 100]
    assert histogram(lengths) == {"0": 1, "1": 1, "2": 1, "3-4": 2, "5-8": 2, "9-16": 2, "17-32": 2, "33+": 2}
    assert histogram([0, 1]) == {"0": 1, "1": 1}


def test_the_order_of_sections_names_a_premise():
    assert section_order(Proof(context="t", goal="g", premise="h", counterfactual="c", steps=())) == "T G H C P"
