"""The commands of the page about Hugging Face models run as they stand, over a tiny model in the cache of the hub."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import peft
import transformers

from clew.cli.main import main
from tiny_pretrained import write_tiny

PAGE = Path(__file__).parents[2] / "docs" / "fine-tuning-hugging-face.md"
SMALL = ["--max-steps", "1", "--max-length", "100", "--threads", "1", "--precision", "float32"]


def test_the_page_does_what_it_says(tmp_path, monkeypatch):
    text = PAGE.read_text()
    commands = [line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    assert len(commands) == 6
    named = re.search(r"--model (\w+/\S+)", text)
    assert named is not None
    kept = tmp_path / "hub" / f"models--{named[1].replace('/', '--')}"
    write_tiny(kept / "snapshots" / ("c" * 40))
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("c" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    row = {"id": "t", "prompts": "1 + 1?", "trace_steps": ["count"], "final_answer": "2", "metadata": {}}
    rows = [row | {"id": f"t{number}", "prompts": f"{number} + 1?"} for number in range(3)]
    Path("traces.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    Path("questions.jsonl").write_text('{"id": "q", "prompt": "1 + 1?", "expected_answer": "2"}\n')
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "clew"
        small = SMALL if arguments[0] == "train" else ["--max-tokens", "4"] if arguments[0] == "evaluate" else []
        assert main([*arguments, *small]) == 0, command
    assert json.loads(Path("runs/smol/run_manifest.json").read_text())["model_origin"]["revision"] == "c" * 40
    assert type(transformers.AutoModelForCausalLM.from_pretrained("smol-merged")).__name__ == "LlamaForCausalLM"
    settings = json.loads(Path("smol-adapter/adapter_config.json").read_text())
    assert (settings["r"], settings["revision"]) == (16, "c" * 40)
    assert isinstance(peft.AutoPeftModelForCausalLM.from_pretrained("smol-adapter"), peft.PeftModel)
    assert Path("rows.jsonl").read_text().count("\n") == Path("merged.jsonl").read_text().count("\n") == 1
    shutil.rmtree(tmp_path / "hub")
