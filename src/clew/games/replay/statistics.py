"""Figures of the games in a replay database: outcomes by seat, lengths, how sure the search was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from clew.core.errors import EvidenceError
from clew.games.replay.seats import UNKNOWN
from clew.games.replay.survey import Finding, Survey, survey
from clew.games.replay.transitions import Source


def figures(survey: Survey) -> dict[str, Any]:
    """What `clew replay stats` tells of one game. An episode counts as a game when its last row says done."""
    last = survey.is_last()
    ends = np.flatnonzero(last)
    begins = np.append(0, ends[:-1] + 1)[: len(ends)]
    whole = survey.done[ends] & (survey.step[begins] == 0)
    lengths = (survey.step[ends] + 1)[whole]
    reward, mover = survey.reward[ends][whole], survey.seat[ends][whole]
    # The reward is that of the player who has just moved. Rows that do not tell who that is: by turns from the first.
    guessed = mover == UNKNOWN
    mover = np.where(guessed, survey.step[ends][whole] % 2, mover)
    first = ((reward > 0) & (mover == 0)) | ((reward < 0) & (mover == 1))
    second = ((reward > 0) & (mover == 1)) | ((reward < 0) & (mover == 0))
    actors = {identifier.rpartition("-ep-")[0] or identifier for identifier in survey.episodes}
    return {
        "env_id": survey.info.env_id,
        "rows": survey.rows,
        "episodes": len(survey.episodes),
        "whole_games": int(whole.sum()),
        "first_player_wins": int(first.sum()),
        "second_player_wins": int(second.sum()),
        "draws": int((reward == 0).sum()),
        "seats_guessed": int(guessed.sum()),
        "length": _spread(lengths.astype(np.float64)),
        "policy_entropy_nats": _spread(survey.entropy[~np.isnan(survey.entropy)]),
        "policy_entropy_by_step": _by_step(survey),
        "rows_without_policy": int(_count(survey, "no policy")),
        "rows_without_outcome": int(np.isnan(survey.outcome).sum()),
        "actors": len(actors),
        "oldest_timestamp": int(survey.timestamp.min()) if survey.rows else None,
        "newest_timestamp": int(survey.timestamp.max()) if survey.rows else None,
        "broken_rows": sum(finding.count for finding in survey.faults.values()),
    }


def _count(survey: Survey, words: str) -> int:
    return sum(finding.count for what, finding in survey.notices.items() if words in what)


def _spread(values: npt.NDArray[np.float64]) -> dict[str, float] | None:
    if not len(values):
        return None
    return {
        "mean": round(float(values.mean()), 4),
        "median": round(float(np.median(values)), 4),
        "least": round(float(values.min()), 4),
        "most": round(float(values.max()), 4),
    }


def _by_step(survey: Survey) -> list[float | None]:
    """Mean entropy of the policies at each step of a game, from the first on."""
    known = ~np.isnan(survey.entropy) & (survey.step >= 0) & (survey.step < 1000)
    sums = np.bincount(survey.step[known], survey.entropy[known])
    counts = np.bincount(survey.step[known])
    return [round(float(total / count), 4) if count else None for total, count in zip(sums, counts, strict=True)]


def report(replay: Source, env_id: str) -> dict[str, Any]:
    """What `clew replay check` tells of one game."""
    try:
        info = replay.info(env_id)
    except EvidenceError as error:
        return {"env_id": env_id, "error": str(error)}
    found = survey(replay, info)

    def listed(findings: Mapping[str, Finding]) -> list[dict[str, Any]]:
        return [{"what": what, "count": each.count, "examples": each.examples} for what, each in findings.items()]

    return {
        "env_id": env_id,
        "rows": found.rows,
        "episodes": len(found.episodes),
        "faults": listed(found.faults),
        "notices": listed(found.notices),
        "described": replay.described(env_id) is not None,
    }
