# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from monai_kd.report import figures
from monai_kd.report.markup import Node, node
from monai_kd.report.results import Comparison, Row
from monai_kd.report.runs import Run
from monai_kd.report.shots import shots_table
from monai_kd.report.tables import Group, grouped, results_table
from monai_kd.report.tasks import Task
from monai_kd.report.text import decimal, quantity, signed
from monai_kd.report.verdict import HELPS, NO_HELP, UNCLEAR, headline, judge

__all__ = ["body"]

TONES = {HELPS: ("helps", "▲ helps"), NO_HELP: ("not", "▼ does not help"), UNCLEAR: ("unclear", "◆ unclear")}
FEW = 10  #: groups below which a percentile interval is too narrow


def body(
    runs: Sequence[Run],
    rows: Sequence[Row],
    comparisons: Sequence[Comparison],
    versions: Mapping[str, str],
    resamples: int,
) -> Node:
    """Return the whole page below its head.

    Args:
        runs: as `load_runs` gives them.
        rows: the same, gathered by `rows_of`.
        comparisons: of `rows`, by `compare`.
        versions: what the runs were made with.
        resamples: of the bootstrap intervals.
    """
    groups, task = grouped(rows), runs[0].task
    drawn = {
        "cases": (
            "Case by case",
            "Distilled minus alone in each test case, mean over seeds: one dot a case. Upright: the mean over cases, "
            "within its 95 % interval.",
            lambda g: figures.cases(g, rows, comparisons),
            "two",
        ),
        "shots": (
            "Common and rare classes",
            "Classes by how many training labels they have, each subset by itself: mean recall of its classes, or "
            "their mean average precision where findings may occur together, ± standard deviation over seeds. Then the "
            "mean of the subsets.",
            lambda g: shots_table(g, rows),
            "one",
        ),
        "curves": (
            "Learning curves",
            "Thick: mean over the seeds. Thin: each seed.",
            lambda g: figures.curves(g, rows),
            "three",
        ),
        "calibration": (
            "Calibration",
            "How often a network is right (bars) when it is that sure (dots: mean of the bin); on the dashed line it "
            "is as often right as it says. Below: the number of cases. Seeds together; the ECE is the mean over seeds.",
            lambda g: figures.calibration(g, rows),
            "three",
        ),
        "confusions": (
            "Confusions",
            "True classes down, predicted classes across: share of the true class, and answers, all seeds together.",
            lambda g: figures.confusions(g, rows),
            "three",
        ),
        "examples": (
            "Examples",
            "Left what the student sees, right (where there is one) what only the teacher sees.",
            figures.examples,
            "cases",
        ),
    }
    return node(
        "main",
        node("p", "monai_kd · distillation report", class_="over"),
        node("h1", headline(comparisons)),
        node("p", _lead(runs, rows), class_="lead"),
        _caution(rows),
        _weak_teachers(groups),
        node("div", [_card(c, rows) for c in comparisons], class_="grid two top-cards") if comparisons else None,
        node("h2", "Results"),
        node(
            "p",
            "Means over the seeds, ± their standard deviation, and below the 95 % bootstrap interval over test cases.",
            class_="note",
        ),
        results_table(rows, comparisons),
        _scores(groups, rows),
        [
            _section(*drawn[name], groups)
            for name in task.sections
            if (name != "cases" or any(c.by_case for c in comparisons))
            and (name != "shots" or any(run.subsets for run in runs))
        ],
        node("h2", "How this was made"),
        node("div", _made(runs, versions), class_="card"),
        node("h3", "Commands"),
        node("div", node("pre", _commands(runs)), class_="card"),
        node("h2", "How to read it"),
        node("div", _reading(task, resamples), class_="card"),
        node("footer", "This file is complete in itself: it loads nothing and sends nothing."),
    )


def _section(
    title: str, note: str, draw: Callable[[Group], list[Node]], columns: str, groups: Sequence[Group]
) -> list[Node]:
    """A heading and, for each setting, its figures; says so where there are none."""
    parts: list[Node] = []
    for group in groups:
        drawn = draw(group)
        if drawn:
            parts += [node("h3", group.setting)] if group.setting else []
            parts.append(node("div", drawn, class_=f"grid {columns}"))
    return [node("h2", title), node("p", note if parts else "No run recorded any.", class_="note"), *parts]


def _lead(runs: Sequence[Run], rows: Sequence[Row]) -> str:
    tests = {run.case.tobytes(): run for run in runs}.values()
    cases, groups = len({c for run in tests for c in run.case}), len({g for run in tests for g in run.group})
    seeds = ", ".join(
        map(str, sorted({run.seed for run in runs if run.role != "teacher"} or {run.seed for run in runs}))
    )
    text = f"{cases} test cases in {groups} group{'s' * (groups > 1)}; seeds {seeds}."
    teacher, student = (
        next((r for r in rows if (r.role == "teacher") == t and r.costs["parameters"]), None) for t in (True, False)
    )
    if teacher and student:
        ratio = teacher.costs["parameters"] / student.costs["parameters"]  # type: ignore[operator]
        own = quantity(student.costs["parameters"])
        text += f" The student has {own} parameters, the teacher {ratio:.3g} times as many."
    return text


def _caution(rows: Sequence[Row]) -> Node | None:
    fewest = min(len(np.unique(np.concatenate([run.group for run in row.runs]))) for row in rows)
    if fewest >= FEW:
        return None
    if fewest == 1:
        return node("p", "All test cases are of one group, so there are no intervals.", class_="note")
    return node(
        "p",
        f"Only {fewest} groups of test cases: the intervals are too narrow. Take them as a lower bound of the doubt.",
        class_="note",
    )


def _weak_teachers(groups: Sequence[Group]) -> Node | None:
    """Say where a teacher is no better than the student alone, which then has little to learn from it."""
    told = []
    for group in groups:
        pairs = [(t, a) for t in group.rows for a in group.rows if (t.role, a.role) == ("teacher", "alone")]
        for teacher, alone in pairs:
            measure = teacher.task.scores[teacher.task.primary]
            own, student = (row.scores[row.task.primary].mean for row in (teacher, alone))
            if not own > student:
                figures_of = f"{decimal(own, measure.digits)} and {decimal(student, measure.digits)} in {measure.name}"
                told.append(f"{teacher.title}{f', {group.setting}' if group.setting else ''}: {figures_of}.")
    text = "A teacher is no better than the student alone, so there may be little to learn from it. "
    return node("p", text + " ".join(dict.fromkeys(told)), class_="note") if told else None


def _card(comparison: Comparison, rows: Sequence[Row]) -> Node:
    verdict, row = judge(comparison), comparison.distilled
    tone, chip = TONES[verdict.kind]
    number, task = None, comparison.task
    if comparison.seeds:
        measure, gain = task.scores[task.primary], comparison.scores[task.primary].mean
        beside = node("small", f"{measure.name}, distilled minus alone")
        number = node("div", signed(gain, measure.digits), beside, class_="gain")
    title = " · ".join(part for part in (row.setting, row.recipe) if part) or row.title
    return node(
        "section",
        node("div", node("h3", title), node("span", chip, class_="chip"), class_="top"),
        number,
        node("p", verdict.sentence),
        figures.difference_chart(comparison, rows) if comparison.seeds else None,
        class_=f"card verdict {tone}",
    )


def _scores(groups: Sequence[Group], rows: Sequence[Row]) -> list[Node]:
    """The charts of all networks' scores, below a heading for each kind of score."""
    task, parts = rows[0].task, []
    for label in dict.fromkeys(task.scores[key].label for key in task.charts):
        drawn = []
        for group, key in ((g, k) for g in groups for k in task.charts if task.scores[k].label == label):
            below, chart = task.scores[key].below, figures.score_chart(group, rows, key)
            caption = node("figcaption", group.setting or "All networks", node("small", below) if below else None)
            drawn.append(node("figure", caption, chart, class_="card"))
        parts += [node("h3", f"{label[0].upper()}{label[1:]} of each network"), node("div", drawn, class_="grid two")]
    return parts


def _made(runs: Sequence[Run], versions: Mapping[str, str]) -> Node:
    seeds = {role: {run.seed for run in runs if run.role == role} for role in dict.fromkeys(r.role for r in runs)}
    entries = {
        "data": [run.data for run in runs],
        "split": [run.split for run in runs],
        "seeds": [f"{role} {', '.join(map(str, sorted(numbers)))}" for role, numbers in seeds.items()],
    }
    listed = [(key, ["; ".join(dict.fromkeys(v for v in values if v))]) for key, values in entries.items()]
    listed += [(name, [version]) for name, version in versions.items()]
    return node("dl", [[node("dt", key), node("dd", value)] for key, value in listed])


def _commands(runs: Sequence[Run]) -> list[Node | str]:
    parts: list[Node | str] = []
    for run in runs:
        about = [run.title, run.setting, f"seed {run.seed}"]
        if run.train_seconds is not None:
            about.append(f"{quantity(round(run.train_seconds, 1), 's')} of training")
        parts += [node("span", "# " + ", ".join(part for part in about if part)), f"\n{run.command}\n\n"]
    parts[-1] = str(parts[-1]).rstrip("\n")
    return parts


def _reading(task: Task, resamples: int) -> Node:
    name = task.scores[task.primary].name
    entries = {
        "verdict": f"Distilled minus alone in {name}, same seed and same test cases, two seeds at least. Helps: the "
        "interval of the mean over seeds lies above zero and every seed gains. Does not help: the mean is zero or "
        f"less, or the whole interval lies below {task.margin:g}. Unclear: anything else. Each stands for itself: "
        "among many, some will look good by chance.",
        "95 % interval": f"Percentiles of {resamples} bootstrap resamples of whole groups of test cases (patients, "
        "slides or disjoint blocks), the same for every network. It tells how far the choice of test cases matters; "
        "the spread over seeds tells how far luck in training does.",
        "±": "Standard deviation over seeds (of a sample).",
        **task.reading,
        "FLOPs": "Two for each multiply-add of convolutions, matrix products and attention, for one case.",
        "latency": "Median time of one case on the CPU, as the runs recorded it.",
    }
    return node("dl", [[node("dt", key), node("dd", value)] for key, value in entries.items()])
