# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from monai_kd.commands import check_bundle
from monai_kd.commands.composition import Composition, compose, config_files, in_bundle, left_to, several
from monai_kd.commands.overrides import read_overrides
from monai_kd.commands.privileged import warn_without_privileged
from monai_kd.commands.reached import reached
from monai_kd.commands.run import refuse_published
from monai_kd.commands.teacher import teacher_overrides
from monai_kd.commands.trial import Trial
from monai_kd.report import write_report
from monai_kd.utils.bundle import resolved
from monai_kd.utils.errors import ConfigError, DistillationError

__all__ = ["compare", "plan"]

_OURS = ("seed", "checkpoint", "resume")


def compare(
    bundle: str | Path,
    recipes: str | Sequence[str],
    seeds: int = 3,
    jobs: int = 1,
    output_dir: str | Path | None = None,
    config_file: str | None = None,
    teacher: str | None = None,
    tokens: Sequence[str] = (),
    trust: bool = False,
) -> Path:
    """Train and test a bundle's student alone and by each recipe, with each seed, and write a page about it.

    What is finished is not done again, and what broke off goes on. A run that fails does not keep the others from
    running.

    Args:
        bundle: the bundle's folder.
        recipes: recipes, or paths of them; a text has commas between.
        seeds: how many, counted from 0.
        jobs: how many run at a time.
        output_dir: of all runs and the page; by default `output/compare` in the bundle.
        config_file: more files to lay over each run, as `monai-kd run` takes them.
        teacher: folder of another bundle, which teaches.
        tokens: overrides as they were typed, of every run.
        trust: run a bundle in which there is code that is not MONAI's.

    Returns:
        The path of the page.

    Raises:
        ConfigError: something of what is asked for cannot be; nothing is run then.
        DistillationError: runs that failed, when all others are done; names them.
    """
    if jobs < 1:
        raise ConfigError(f"must be 1 or more, got {jobs}", where="--jobs")
    folder = Path(bundle) / "output" / "compare" if output_dir is None else Path(output_dir)
    teaching, trials = plan(Path(bundle), recipes, seeds, folder, config_file, teacher, tokens, trust)
    for trial in (*teaching, *trials):
        trial.check()
    for trial in {trial.recipe: trial for trial in trials}.values():
        warn_without_privileged(compose(trial.recipe, trial.bundle, config_file, trial.tokens))
    failed = [*_finish(teaching, 1), *_finish(trials, jobs)]
    if any(trial.tested for trial in trials):
        page = write_report(folder)
        numbers = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
        print(numbers["headline"])
        for comparison in numbers["comparisons"]:
            print(f"{comparison['recipe']}: {comparison['kind']}. {comparison['sentence']}", flush=True)
    if failed:
        raise DistillationError(f"{len(failed)} of {len(teaching) + len(trials)} runs failed: {'; '.join(failed)}")
    return page


def plan(
    bundle: Path,
    recipes: str | Sequence[str],
    seeds: int,
    folder: Path,
    config_file: str | None = None,
    teacher: str | None = None,
    tokens: Sequence[str] = (),
    trust: bool = False,
) -> tuple[list[Trial], list[Trial]]:
    """Say what has to be run: the bundle's own teacher, if it teaches; and all that can be run after it, seed by seed.

    For recipes that say `teacher_labels: labeled`, one more teacher a seed learns from the student's labels alone.

    Args:
        bundle, recipes, seeds, config_file, teacher, tokens, trust: see `compare`.
        folder: of all runs.

    Raises:
        ConfigError: as `compare`.
        UnknownNameError: no such recipe; a key that nothing reads.
    """
    names = [name.strip() for name in (recipes.split(",") if isinstance(recipes, str) else recipes)]
    if seeds < 1:
        raise ConfigError(f"must be 1 or more, got {seeds}", where="--seeds")
    given = read_overrides(tokens)
    for key in _OURS:
        if key in given:
            raise ConfigError("each run gets its own", where=f"--{key}", fix="leave it out")
    files = several(DefaultParseValue(config_file)) if config_file else []

    below = teacher_overrides(teacher) if teacher else {}

    def trial(recipe: str, name: str, over: Mapping[str, Any], weights: Path) -> Trial:
        return Trial(recipe, bundle, (folder / name).absolute(), weights.absolute(), over, files, teacher, trust)

    def student(recipe: str, name: str, seed: int) -> Trial:
        weights = (folder / name / "model.pt").absolute()
        return trial(recipe, name, {**given, "seed": seed, "checkpoint": str(weights)}, weights)

    def composed(trial: Trial) -> Composition:
        found = compose(trial.recipe, bundle, config_file, trial.tokens, below)
        if not trust:
            check_bundle.refuse_foreign_files(found.named, found.files)
        refuse_published(found)
        return found

    ids: dict[str, str] = {}
    few: set[str] = set()  # recipes whose teacher must not have seen more labels than the student
    for name in names:
        info = composed(student(name, "any", 0)).info
        found = info.get("id")
        few |= {name} if info.get("teacher_labels") == "labeled" else set()
        if found is None or found in ids:
            what = "has no id in a block `recipe:`" if found is None else f"has the id of {ids[found]!r}: {found!r}"
            raise ConfigError(what, where=f"--recipes {name}", fix="give each recipe once, with an id of its own")
        ids[found] = name
    in_bundle(bundle, "evaluate")
    alone = composed(student("train_alone", "any", 0))
    rows = {"alone": "train_alone", **ids}
    trials = [student(name, f"{key}_seed{seed}", seed) for seed in range(seeds) for key, name in rows.items()]
    own = {file.stem: file for file in config_files(bundle)}
    if teacher or "train_teacher" not in own:
        return [], trials
    # what train_teacher.yaml says of the teacher (every label there is, its own network) stays so
    over = left_to(own["train_teacher"], given)
    learnt = trial("train_teacher", "teacher", over, _teacher_weights(alone))
    read = reached(composed(learnt).merged())
    teaching = {"teacher": replace(learnt, read=frozenset(read))}
    for i, one in enumerate(trials):
        if one.recipe in few:
            name, seed = f"teacher_labeled_seed{one.overrides['seed']}", one.overrides["seed"]
            weights = (folder / name / "model.pt").absolute()
            own_labels = {"seed": seed, "labeled_fraction": composed(one).merged().get("labeled_fraction", 1.0)}
            told = {**over, **own_labels, "teacher_checkpoint": str(weights)}
            teaching[name] = replace(trial("train_teacher", name, told, weights), test=False)
            trials[i] = replace(one, overrides={**one.overrides, "teacher_checkpoint": str(weights)})
    return list(teaching.values()), trials


def _teacher_weights(composed: Composition) -> Path:
    parser = ConfigParser({**composed.merged(), "bundle_root": str(composed.bundle)})
    if "teacher_checkpoint" not in parser:
        raise ConfigError("has train_teacher and no teacher_checkpoint", where=str(composed.bundle))
    return Path(resolved(parser, "teacher_checkpoint", str(composed.bundle)))


def _finish(trials: Sequence[Trial], jobs: int) -> list[str]:
    """Finish them in turn, `jobs` at a time; return which failed, and why."""

    threads = None if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs)

    def finish(trial: Trial) -> str | None:
        start = time.monotonic()
        try:
            done = trial.finish(threads)
        except DistillationError as error:
            print(f"{trial.folder.name}: failed. {error}", flush=True)
            return f"{trial.folder.name} ({error})"
        print(f"{trial.folder.name}: {done}, {time.monotonic() - start:.0f} s", flush=True)
        return None

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return [why for why in pool.map(finish, trials) if why]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
