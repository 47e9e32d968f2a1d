"""Every command in the pages is one that its program understands, and every target and extra that they name exists."""

import argparse
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
PATTERNS = ("*.md", "docs/**/*.md", "benchmarks/*.md", "examples/**/*.md")
PAGES = [path.read_text(encoding="utf-8") for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]
# Commands of an earlier commit are understood there.
TEXT = re.sub(r"the scripts of commit\s.*?:\n\n( {4}.*\n)+", "", "\n".join(PAGES)).replace("\\\n", " ")
# In blocks, and in the middle of sentences, where a program without arguments is only named.
IN_SENTENCES = [line for line in re.findall(r"`([^`\n]+)`", TEXT) if "--" in line or line.startswith("make ")]
LINES = re.findall(r"^ {4}(.*)$", TEXT, re.M) + IN_SENTENCES
PROGRAM = re.compile(
    r"(?:python|torchrun .*?) -m ((?:examples|benchmarks|diffusers_motion_embed)\.\S+)"
    r"|accelerate launch (?:--\S+ \S+ )*(\S+\.py)|(diffusers-motion-embed)"
)


def commands():
    """Programs and their arguments; "..." stands for others."""
    for line in dict.fromkeys(re.sub(r"\s+", " ", line.strip()) for line in LINES):
        match = PROGRAM.match(line)
        arguments = shlex.split(line[match.end() :], comments=True) if match else []
        if match and "..." not in line:
            yield pytest.param(match[1] or match[2] or "diffusers_motion_embed", arguments, id=line[:100])


def run(program):
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


@pytest.mark.parametrize(("program", "arguments"), list(commands()))
def test_a_program_understands_its_documented_arguments(program, arguments, monkeypatch):
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser, *given):
        options = parse(parser, *given)  # exits with 2 if it does not understand them
        if parser.prog == "diffusers-motion-embed" and len(arguments) > 1:
            return options  # whose subcommand parses the rest
        sys.exit("understood")

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit, match="^0$" if "--help" in arguments else "understood"):
        run(program)


def test_targets_of_make_and_extras_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {match for line in LINES for match in re.findall(r"^make ([\w-]+)", line)}
    assert named
    assert named <= targets
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted = {match for line in LINES for match in re.findall(r'^pip install "[\w.]+\[(\w+)\]"', line)}
    assert wanted
    assert wanted <= set(extras)
