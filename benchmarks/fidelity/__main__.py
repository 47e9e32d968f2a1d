"""`python -m benchmarks.fidelity`: measures what is missing, and writes the report of all there is."""

import argparse
import hashlib
import sys
from pathlib import Path

from benchmarks.fidelity.experiments import GROUPS
from benchmarks.fidelity.runner import Runner, tasks_of
from benchmarks.fidelity.write import write_report
from benchmarks.tiny_world.pipelines import TINY_T2V, load_tiny_pipeline, use_one_thread
from benchmarks.tiny_world.references import OBJECT_REFERENCES
from examples.report.page import make_report_folder


def measures_of(model: Path) -> Path:
    """The folder of a model's measures, named after its weights too: trained anew, it is another model."""
    digest = hashlib.sha256()
    for file in sorted(model.rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return Path(f"{model.name}-{digest.hexdigest()[:8]}")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    add = parser.add_argument
    add("--pretrained_model_name_or_path", type=Path, default=TINY_T2V)
    add("--groups", nargs="+", choices=GROUPS, default=list(GROUPS), help="Of experiments to measure.")
    add("--references", nargs="+", choices=OBJECT_REFERENCES, default=list(OBJECT_REFERENCES))
    add("--num_seeds", type=int, default=1, help="Clips of each prompt and reference.")
    add("--measures", type=Path, default=Path("outputs/report"), help="Where measures are kept, so that it goes on.")
    add("--output", type=Path, default=Path("docs/report"))
    options = parser.parse_args(arguments)
    use_one_thread()
    make_report_folder(options.output)

    pipe = load_tiny_pipeline(options.pretrained_model_name_or_path)
    folder = options.measures / measures_of(options.pretrained_model_name_or_path)
    runner = Runner(pipe, folder, options.num_seeds)
    tasks = tasks_of(options.groups, options.references)
    left = sum(not runner.is_done(task) for task in tasks)
    print(f"{len(tasks)} measurements, {left} to do; each is kept in {folder}, and an interrupted run goes on.")
    failed = runner.run(tasks)
    print(f"Wrote {write_report(folder, options.output, options.pretrained_model_name_or_path)}")
    if failed:
        sys.exit(f"{len(failed)} of the measurements failed, see above; the others are in the report.")


if __name__ == "__main__":
    main()
