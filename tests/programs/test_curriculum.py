"""A curriculum is a function of seed and sources, and the one that is there stays until a new one is whole."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading

import pytest

from clew.cli.main import main
from clew.core import swap
from clew.core.errors import ClewError, UsageError
from clew.programs.curriculum import seed
from clew.programs.task import shipped_tasks
from small_releases import tree

TASK = "task {name} (xs: list) -> list\nexample [3, 1] -> [1, 3]\nreference sort xs\n"
NAMES = ("sorted", "ordered", "ranked", "arranged", "sequenced", "aligned")


def write_tasks(folder, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.dsl").write_text(TASK.format(name=name))
    return folder


def ids(folder):
    return [row["id"] for row in json.loads((folder / "manifest.json").read_text())]


def test_two_runs_of_one_seed_differ_in_no_byte(tmp_path):
    for name in ("one", "two"):
        assert main(["curriculum", "seed", "--limit", "20", "--seed", "7", "--output", str(tmp_path / name)]) == 0
    compared = subprocess.run(["diff", "-r", tmp_path / "one", tmp_path / "two"], capture_output=True, text=True)
    assert (compared.returncode, compared.stdout) == (0, "")
    assert len(list((tmp_path / "one/programs").iterdir())) == 20


def test_the_manifest_tells_each_program_as_its_file_is(tmp_path):
    source = write_tasks(tmp_path / "tasks")
    made = seed(tmp_path / "out", source=source, limit=4, seed=3)
    metadata = json.loads((tmp_path / "out/metadata.json").read_text())
    assert (metadata["seed"], metadata["task_count"], metadata["source"]) == (3, 4, str(source))
    rows = json.loads((tmp_path / "out/manifest.json").read_text())
    assert rows == made.manifest
    assert [row["index"] for row in rows] == [0, 1, 2, 3]
    for row in rows:
        content = (tmp_path / "out" / row["program_path"]).read_bytes()
        assert content == (source / f"{row['id']}.dsl").read_bytes()
        assert row["program_path"] == f"programs/{row['id']}.dsl"
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert (row["line_count"], row["byte_length"]) == (3, len(content))


def test_without_a_source_the_tasks_that_ship_are_taken(tmp_path):
    made = seed(tmp_path / "out")
    assert made.metadata["source"] == "shipped"
    assert len(made.manifest) == len(shipped_tasks()) >= 60


def test_the_order_is_drawn_by_the_seed_and_by_nothing_of_the_file_system(tmp_path):
    one = write_tasks(tmp_path / "one")
    other = write_tasks(tmp_path / "deep", reversed(NAMES[:3]))
    write_tasks(other / "deeper" / "still", NAMES[3:])
    for name in NAMES:
        os.utime(one / f"{name}.dsl", (hash(name) % 1000, hash(name) % 1000))
    orders = [ids(seed(tmp_path / f"out-{place.name}", source=place, seed=5).folder) for place in (one, other)]
    assert orders[0] == orders[1] != sorted(orders[0])
    others = {tuple(ids(seed(tmp_path / "seeds", source=one, seed=each).folder)) for each in range(6)}
    assert len(others) > 3


def test_a_task_that_is_added_moves_none_of_the_others(tmp_path):
    source = write_tasks(tmp_path / "tasks")
    before = ids(seed(tmp_path / "out", source=source).folder)
    write_tasks(source, ["added"])
    after = ids(seed(tmp_path / "out", source=source).folder)
    assert [name for name in after if name != "added"] == before


def test_a_task_that_does_not_parse_leaves_the_old_curriculum_as_it_was(tmp_path, capsys):
    source = write_tasks(tmp_path / "tasks")
    seed(tmp_path / "out", source=source)
    before = tree(tmp_path / "out")
    (source / "broken.dsl").write_text("task broken (xs: list) -> list\nexample [3, 1] -> [1, 3]\nreference sort (xs\n")
    assert main(["curriculum", "seed", "--source", str(source), "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert "broken.dsl:3:" in said
    assert "Traceback" not in said
    assert tree(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tasks"]


def test_a_limit_above_the_number_of_tasks_takes_them_all_and_says_so(tmp_path, capsys):
    source = write_tasks(tmp_path / "tasks")
    words = ["--limit", "50", "--source", str(source), "--output", str(tmp_path / "out"), "--json"]
    assert main(["curriculum", "seed", *words]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["task_count"] == len(NAMES)
    assert "the limit is 50, but the source has 6 tasks" in err


def test_two_files_of_one_name_are_named(tmp_path):
    source = write_tasks(tmp_path / "tasks")
    write_tasks(source / "more", ["sorted"])
    with pytest.raises(ClewError, match=r"sorted\.dsl and .*sorted\.dsl would both become programs/sorted\.dsl"):
        seed(tmp_path / "out", source=source)
    (source / "more/sorted.dsl").rename(source / "more/Sorted.dsl")
    with pytest.raises(ClewError, match=r"would both become"):
        seed(tmp_path / "out", source=source)


def test_a_source_without_tasks_is_a_sentence_and_exit_2(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no task")
    for source, said in (("empty", "There is no .dsl file"), ("none", "There is no folder"), ("notes.txt", "no .dsl")):
        words = ["--source", str(tmp_path / source), "--output", str(tmp_path / "out")]
        assert main(["curriculum", "seed", *words]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_links_to_files_are_read_and_links_to_folders_are_not_followed(tmp_path):
    source = write_tasks(tmp_path / "tasks", NAMES[:2])
    elsewhere = write_tasks(tmp_path / "elsewhere", NAMES[2:3])
    (source / "linked.dsl").symlink_to(elsewhere / f"{NAMES[2]}.dsl")
    (source / "circle").symlink_to(source)
    (source / ".hidden.dsl").write_text("no task")
    seed(tmp_path / "out", source=source)
    assert sorted(ids(tmp_path / "out")) == sorted([*NAMES[:2], "linked"])
    assert not (tmp_path / "out/programs/linked.dsl").is_symlink()
    (source / "gone.dsl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ClewError, match=r"gone\.dsl is no file that can be read"):
        seed(tmp_path / "out", source=source)


def test_an_output_inside_the_source_is_no_source_of_the_next_run(tmp_path):
    source = write_tasks(tmp_path / "data")
    first = tree(seed(source / "processed/curriculum_v1", source=source).folder)
    second = seed(source / "processed/curriculum_v1", source=source)
    assert tree(second.folder) == first
    assert not second.changed


def test_the_source_is_never_replaced(tmp_path):
    source = write_tasks(tmp_path / "out" / "programs")
    for place in (source, source.parent):
        with pytest.raises(UsageError, match=r"lies in the output"):
            seed(tmp_path / "out", source=place)


@pytest.mark.parametrize("what", ["foreign", "added", "edited", "file", "link in it"])
def test_what_is_no_unedited_curriculum_is_not_replaced(tmp_path, what):
    out = tmp_path / "out"
    if what == "foreign":
        out.mkdir()
        (out / "thesis.txt").write_text("years of work")
    elif what == "file":
        out.write_text("years of work")
    else:
        seed(out, source=write_tasks(tmp_path / "tasks"))
        if what == "added":
            (out / "programs/mine.dsl").write_text("years of work")
        if what == "edited":
            (out / "programs/sorted.dsl").write_text("years of work")
        if what == "link in it":
            (out / "programs/more").symlink_to(tmp_path)
    before = out.read_bytes() if what == "file" else tree(out)
    with pytest.raises(UsageError, match=r"Choose another"):
        seed(out, source=write_tasks(tmp_path / "others", ["other"]))
    assert (out.read_bytes() if what == "file" else tree(out)) == before


def test_of_an_output_that_is_a_link_the_folder_behind_it_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    for names in (NAMES[:2], NAMES):
        seed(tmp_path / "out", source=write_tasks(tmp_path / "tasks", names))
    assert (tmp_path / "out").is_symlink()
    assert sorted(ids(tmp_path / "disk")) == sorted(NAMES)


def test_two_at_once_leave_one_whole_curriculum_and_nothing_else(tmp_path):
    sources = [write_tasks(tmp_path / "tasks" / str(count), NAMES[:count]) for count in (3, 6)]
    whole = [tree(seed(tmp_path / f"whole-{n}", source=source).folder) for n, source in enumerate(sources)]

    def repeat(source):
        for _ in range(10):
            seed(tmp_path / "place" / "out", source=source)

    threads = [threading.Thread(target=repeat, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tree(tmp_path / "place/out") in whole
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["out"]


def test_two_folders_change_places_in_one_step(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert swap.swap(tmp_path / "one", tmp_path / "other")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["other"]
    assert not swap.swap(tmp_path / "one", tmp_path / "nowhere")


def test_where_folders_cannot_be_swapped_the_new_one_is_put_in_place_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("clew.core.files.swap", lambda one, other: False)
    for names in (NAMES[:2], NAMES):
        seed(tmp_path / "place" / "out", source=write_tasks(tmp_path / "tasks", names))
    assert sorted(ids(tmp_path / "place/out")) == sorted(NAMES)
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["out"]
