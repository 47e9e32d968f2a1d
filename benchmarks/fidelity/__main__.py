r"""Measures experiments of the table in experiments.py on a tiny model, and prints what was found.

    python -m benchmarks.fidelity recipes/default --num_seeds 4
    python -m benchmarks.fidelity "methods/temporal LoRA" --references figure_eight --config '{"learning_rate": 0.01}'

Takes groups or single experiments. Measures are kept, so that a command that was stopped goes on; what is written of
them: benchmarks/fidelity/report.py and pictures.py.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.fidelity.experiments import GROUPS
from benchmarks.fidelity.halves import HALVES, names_of, references_of
from benchmarks.fidelity.learned import by_step, changed
from benchmarks.fidelity.runner import MEASURES, Runner, measures_of, tasks_of
from benchmarks.fidelity.summary import summary_of
from benchmarks.tiny_world.pipelines import TINY_T2V, load_tiny_pipeline, use_one_thread
from benchmarks.tiny_world.reference_sets import ReferenceSet
from benchmarks.tiny_world.scene import NUM_FRAMES


CHANGES = ("config", "embedding", "settings", "num_samples", "at_steps")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fidelity",
        description=__doc__,
        epilog="experiments: " + "; ".join(f"{group}: {', '.join(names)}" for group, names in GROUPS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("experiments", nargs="+", type=chosen, metavar="GROUP[/EXPERIMENT]")
    add("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    add("--half", choices=HALVES, default="choose", help="Which half of the references there are.")
    add(
        "--references",
        nargs="+",
        metavar="NAME",
        help="By default the moving objects of examples/assets, or, for reporting, the whole half.",
    )
    add("--num_seeds", type=int, default=1, help="Clips of each prompt and reference.")
    add("--measures", type=Path, default=MEASURES, help="Where measures are kept.")
    add("--config", type=json.loads, default={}, help="Options of the training to change, as JSON.")
    add("--embedding", type=json.loads, default={}, help="Options of the embedding to change, as JSON.")
    add("--settings", type=json.loads, default={}, help="Settings of the method to change, as JSON.")
    add("--num_samples", type=int, help="Budget of the training, in samples.")
    add("--at_steps", type=int, nargs="+", help="Measure after these steps of the training.")
    return parser


def chosen_names(parser: argparse.ArgumentParser, options: argparse.Namespace, references: ReferenceSet) -> list[str]:
    """Names of the references to measure; an unknown one, or a setting to change beside those for reporting, ends."""
    known = list(references.scenes(NUM_FRAMES))
    names = options.references or names_of(options.half)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"--half {options.half} has no reference {', '.join(unknown)}; it has {', '.join(known)}.")
    changes = [f"--{name}" for name in CHANGES if getattr(options, name)]
    if options.half == "report" and changes:
        parser.error(f"Nothing is chosen by --half report: leave {', '.join(changes)} out, or try it with the other.")
    return names


def chosen(text: str) -> list[tuple[str, str]]:
    """Groups and names of experiments."""
    group, _, name = text.partition("/")
    if group not in GROUPS or (name and name not in GROUPS[group]):
        raise argparse.ArgumentTypeError(f"there is no {text!r}; --help lists groups and experiments")
    return [(group, name)] if name else [(group, each) for each in GROUPS[group]]


def with_changes(options: argparse.Namespace, group: str, name: str) -> tuple[str, str]:
    """The experiment as the options change it, as a further entry of the table whose name says so."""
    changes = {each: getattr(options, each) for each in CHANGES if getattr(options, each)}
    if not changes:
        return group, name
    experiment = changed(GROUPS[group][name], options.config, options.embedding, options.settings)
    if options.num_samples:
        experiment = replace(experiment, num_samples=options.num_samples)
    if options.at_steps:
        experiment = by_step(experiment, *options.at_steps)
    title = f"{name} {json.dumps(changes)}"
    GROUPS[group][title] = experiment
    return group, title


def main(arguments: list[str] | None = None) -> None:
    parser = make_parser()
    options = parser.parse_args(arguments)
    references = references_of(options.half)
    names = chosen_names(parser, options, references)
    use_one_thread()
    try:
        experiments = [with_changes(options, *each) for some in options.experiments for each in some]
    except ValueError as error:
        parser.error(str(error))
    tasks = tasks_of(experiments, names)
    if options.half == "report" and any(task.reference not in names for task in tasks):
        parser.error("--half report has no experiments on several references at once; leave them out.")
    pipe = load_tiny_pipeline(options.pretrained_model_name_or_path)
    folder = options.measures / measures_of(options.pretrained_model_name_or_path)
    runner = Runner(pipe, folder, options.num_seeds, references)
    left = sum(not runner.is_done(task) for task in tasks)
    print(f"{len(tasks)} measurements, {left} to do; each is kept in {folder}, and an interrupted run goes on.")
    failed = runner.run(tasks)
    print(f"\n{summary_of(folder, tasks)}")
    if failed:
        sys.exit(f"{len(failed)} of the measurements failed, see above.")


if __name__ == "__main__":
    main()
