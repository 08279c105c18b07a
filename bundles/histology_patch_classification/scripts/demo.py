# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""Train teacher, student alone and distilled student, test each on the test region, and write the report.

Everything is this bundle's configuration run by `monai.bundle`, in one process because importing takes longer than
some of the runs. What comes out is reported, whatever it is.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser, ConfigWorkflow
from skimage.io import imread
from tqdm import tqdm

from monai_kd.data import load_datalist, write_ihc_patches
from monai_kd.report import write_report

BUNDLE = Path(__file__).resolve().parents[1]
EXAMPLES = 12


class Job(NamedTuple):
    """One network to train and test."""

    role: str
    seed: int
    labeled_fraction: float

    @property
    def name(self) -> str:
        """The folder's name."""
        return "teacher" if self.role == "teacher" else f"{self.role}_{self.labeled_fraction:g}_seed{self.seed}"

    @property
    def files(self) -> list[str]:
        """The configuration's files."""
        return ["train.yaml", *([] if self.role == "distilled" else [f"train_{self.role}.yaml"])]


def plan(seeds: int, labeled_fraction: float, full_seeds: int) -> list[Job]:
    """The teacher first; then, seed by seed, the student alone and distilled; then the same with every label.

    Args:
        seeds: of the students that have few labels.
        labeled_fraction: how few.
        full_seeds: of the students that have every label.
    """
    jobs = [Job("teacher", 0, 1.0)]
    for fraction, count in ((labeled_fraction, seeds), (1.0, full_seeds)):
        jobs += [Job(role, seed, fraction) for seed in range(count) for role in ("alone", "distilled")]
    return jobs


def overrides(job: Job, folder: Path) -> dict[str, Any]:
    """What is laid over the configuration's files.

    Args:
        job: what to run.
        folder: of all runs.
    """
    checkpoint = {} if job.role == "teacher" else {"checkpoint": str(folder / job.name / "model.pt")}
    return {
        "bundle_root": str(BUNDLE),
        "dataset_dir": str(folder / "data"),
        "teacher_checkpoint": str(folder / "teacher" / "model.pt"),
        "output_dir": str(folder / job.name),
        "seed": job.seed,
        "labeled_fraction": job.labeled_fraction,
        "progress": False,
        **checkpoint,
    }


def command(job: Job, extra: dict[str, Any]) -> str:
    """The same training as it would be typed in the bundle's folder.

    Args:
        job: what to run.
        extra: overrides from the command line.
    """
    files = ", ".join(f"'configs/{name}'" for name in job.files)
    given = {"seed": job.seed, "labeled_fraction": job.labeled_fraction, **extra}
    if job.role == "teacher":
        given.pop("labeled_fraction")
    return f'python -m monai.bundle run --config_file "[{files}]" ' + " ".join(f"--{k} {v}" for k, v in given.items())


def run(job: Job, folder: Path, extra: dict[str, Any], bar: tqdm) -> None:
    """Train one network and test it.

    Args:
        job: what to run.
        folder: of all runs.
        extra: overrides from the command line.
        bar: moves on with every epoch.
    """
    given = {**overrides(job, folder), **extra}
    for last in ([], ["evaluate.yaml"]):
        files = [str(BUNDLE / "configs" / name) for name in [*job.files, *last]]
        if last:
            given["record::command"] = command(job, extra)
        workflow = ConfigWorkflow(files, workflow_type="train", **given)
        workflow.initialize()
        if not last:
            workflow.trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: bar.update())
        workflow.run()
        workflow.finalize()


def write_examples(jobs: list[Job], folder: Path) -> None:
    """Write evenly spaced test patches, with the answers of the first seed's networks, beside its distilled student.

    Args:
        jobs: that were run.
        folder: of all runs.
    """
    items = load_datalist(folder / "data", "test", ["image", "privileged"])
    chosen = [items[i] for i in np.linspace(0, len(items) - 1, EXAMPLES).astype(int)]
    first = {
        job.role: job for job in reversed(jobs) if job.seed == 0 and job.labeled_fraction == jobs[1].labeled_fraction
    }
    answers = {}
    for role, job in {"teacher": jobs[0], **first}.items():
        with np.load(folder / job.name / "predictions.npz") as archive:
            said = dict(zip(archive["case"].tolist(), archive["probability"].argmax(1), strict=True))
        answers[role] = np.array([said[item["case"]] for item in chosen])
    images, privileged = (np.stack([imread(item[key]) for item in chosen]) for key in ("image", "privileged"))
    shown = {"images": images, "privileged": privileged, "label": np.array([item["label"] for item in chosen])}
    np.savez(folder / first["distilled"].name / "examples.npz", **shown, **answers)


def main(argv: list[str] | None = None) -> Path:
    """Run everything and return the path of the report.

    Args:
        argv: what was typed after the program's name.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", default="demo", help="where to write; nothing outside of it is touched")
    parser.add_argument("--seeds", type=int, default=3, help="of the students with few labels")
    parser.add_argument("--full_seeds", type=int, default=2, help="of the students with every label")
    parser.add_argument("--labeled_fraction", type=float, default=0.05, help="of the patches, where labels are few")
    parser.add_argument("--max_epochs", type=int, help="instead of the configuration's")
    args = parser.parse_args(argv)
    start, folder = time.perf_counter(), Path(args.output_dir).resolve()
    extra = {} if args.max_epochs is None else {"max_epochs": args.max_epochs}
    torch.set_num_threads(1)  # the networks are tiny; the other core prepares the batches
    logging.disable(logging.INFO)
    for file in folder.glob("*/run.json"):  # of an earlier demo
        shutil.rmtree(file.parent)
    write_ihc_patches(folder / "data")
    jobs = plan(args.seeds, args.labeled_fraction, args.full_seeds)
    epochs = args.max_epochs or ConfigParser.load_config_file(BUNDLE / "configs" / "train.yaml")["max_epochs"]
    with tqdm(total=len(jobs) * epochs, unit="epoch", ncols=100, file=sys.stdout) as bar:
        for job in jobs:
            bar.set_description(f"{job.role}, seed {job.seed}, {100 * job.labeled_fraction:g} % labelled".ljust(36))
            run(job, folder, extra, bar)
    write_examples(jobs, folder)
    page = write_report(folder)
    print(f"{len(jobs)} networks in {time.perf_counter() - start:.0f} s; the report is {page}")
    return page


if __name__ == "__main__":
    main()
