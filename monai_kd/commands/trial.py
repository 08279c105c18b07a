# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from monai_kd.commands.overrides import typed
from monai_kd.networks.origin import read_origin
from monai_kd.utils import beside, read_json, write_text
from monai_kd.utils.bundle import config_files
from monai_kd.utils.checksums import file_sha256
from monai_kd.utils.errors import ConfigError, DistillationError

__all__ = ["Trial"]


_IDLE = {"cache_rate", "device", "progress", "save_interval", "teacher_checkpoint"}


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    flat = [{**a["overrides"], **{k: v for k, v in a.items() if k != "overrides"}} for a in (before, now)]
    changed = sorted(k for k in {*flat[0], *flat[1]} if flat[0].get(k) != flat[1].get(k))
    return ", ".join(f"{k} {flat[0].get(k)!r}, now {flat[1].get(k)!r}" for k in changed)


@dataclass(frozen=True)
class Trial:
    """One network that is trained and tested by `monai-kd run`, each in a process of its own.

    The folder says what of it is done, so that a trial that broke off goes on where it stopped: `trial.json` holds
    what was asked for and whether the training is done, `checkpoint.pt` what an unfinished one goes on from, `run.json`
    is the last that the test writes, and `log.txt` has what was printed.

    Args:
        recipe: a recipe, or an override of the bundle's own, as `monai-kd run` takes it.
        bundle: the bundle's folder.
        folder: of what is written.
        weights: the file that the training publishes; where one outside of `folder` is there already, nothing is
            trained. Beside it, in a file that ends in `.asked.json`, is what was asked for when it was.
        overrides: keys and values laid over the bundle, besides the folder and where to resume.
        config_file: more files to lay over; see `tests`.
        teacher: folder of another bundle, which teaches.
        trust: run a bundle in which there is code that is not MONAI's.
        test: whether it is tested at all; what is not has no `run.json`, and is in no report.
        read: keys that the training reads, so that only those tell whether weights outside of `folder` are the ones
            that were asked for; None are all.
    """

    recipe: str
    bundle: Path
    folder: Path
    weights: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    config_file: Sequence[str] = ()
    teacher: str | None = None
    trust: bool = False
    test: bool = True
    read: frozenset[str] | None = None

    @property
    def tokens(self) -> list[str]:
        """The overrides, as they are typed."""
        given = {**self.overrides, "output_dir": str(self.folder), "resume": True}
        return [word for key, value in given.items() for word in shlex.split(typed(key, value))]

    def words(self, *over: str) -> list[str]:
        """What is typed after `monai-kd`.

        Args:
            over: files laid over last.
        """
        words = ["run", self.recipe, "--bundle", str(self.bundle)]
        words += ["--teacher", self.teacher] if self.teacher else []
        words += ["--trust"] if self.trust else []
        files = [*self.config_file, *over]
        return [*words, *(["--config_file", ",".join(files)] if files else []), *self.tokens]

    @property
    def tests(self) -> list[str]:
        """What the test lays over last: `evaluate`, and `evaluate_NAME` of the bundle for a `config_file` NAME."""
        own = {file.stem for file in config_files(self.bundle)}
        return ["evaluate", *(name for file in self.config_file if (name := f"evaluate_{Path(file).stem}") in own)]

    @property
    def trained(self) -> bool:
        """Whether the training is done."""
        return self.weights.is_file() and (self._elsewhere or self._record().get("trained", True))

    @property
    def tested(self) -> bool:
        """Whether the test, if there is one, is done, of what was trained."""
        return self.trained and (not self.test or (self.folder / "run.json").is_file())

    def check(self) -> None:
        """See that what the folder holds, and weights outside of it that are there, are of this trial.

        Weights of which nothing tells what was asked for, or which were written anew since, are taken with a warning.

        Raises:
            ConfigError: one was begun or trained with other overrides; names them.
        """
        before, now = self._record().get("asked"), self._asked()
        if before is not None and before != now:
            fix = "ask for the same, choose another --output_dir, or remove this folder"
            raise ConfigError(f"was begun with {_changed(before, now)}", where=str(self.folder), fix=fix)
        if not self._elsewhere or not self.weights.is_file():
            return
        note = read_json(self._note) if self._note.is_file() else {}
        if note.get("sha256") != file_sha256(self.weights):
            known = ", ".join(f"{k} {v}" for k, v in self._known().items()) or "nothing tells what it was trained with"
            what = f"{self.weights}: is used as it is: {known}"
            warnings.warn(f"{what}; remove it, and it is trained as asked for", stacklevel=3)
        elif note["asked"] != self._deciding():
            fix = "ask for the same, name another file for it, or remove this one"
            told = _changed(note["asked"], self._deciding())
            raise ConfigError(f"was trained with {told}", where=str(self.weights), fix=fix)

    def finish(self, threads: int | None = None) -> str:
        """Train and test, whatever of it is not done yet, and return what was done.

        Args:
            threads: how many a process takes, unless `OMP_NUM_THREADS` is set; None leaves it to torch.

        Raises:
            ConfigError: as `check`.
            DistillationError: a process failed; names its log.
        """
        self.check()
        environment = dict(os.environ) if threads is None else {"OMP_NUM_THREADS": str(threads), **os.environ}
        if self.tested:
            return "finished before"
        done = "tested"
        if not self.trained:
            (self.folder / "run.json").unlink(missing_ok=True)
            self._write(trained=False)
            self._call(self.words(), environment)
            self._write(trained=True)
            if self._elsewhere:
                note = {"asked": self._deciding(), "sha256": file_sha256(self.weights)}
                write_text(self._note, json.dumps(note, indent=2) + "\n")
            done = "trained and tested" if self.test else "trained"
        if self.test:
            over = {k: v for k, v in self._known().items() if k not in self.overrides}
            self._call(replace(self, overrides={**self.overrides, **over}).words(*self.tests), environment)
        return done

    @property
    def _elsewhere(self) -> bool:
        return self.weights.parent != self.folder

    def _known(self) -> dict[str, Any]:
        """Of weights outside of `folder`, how they were trained, as far as that is known and the test asks for it."""
        origin = read_origin(self.weights) if self._elsewhere else {}
        return {key: origin[key] for key in ("seed", "labeled_fraction", "fold") if key in origin}

    @property
    def _note(self) -> Path:
        return beside(self.weights, ".asked.json")

    def _deciding(self) -> dict[str, Any]:
        """What was asked for, but for what the weights do not depend on."""
        asked, read = self._asked(), self.read
        over = {k: v for k, v in asked["overrides"].items() if read is None or k.split("::")[0] in read - _IDLE}
        return {**asked, "overrides": over}

    def _asked(self) -> dict[str, Any]:
        asked = {"recipe": self.recipe, "config_file": list(self.config_file), "teacher": self.teacher}
        return json.loads(json.dumps({**asked, "overrides": dict(self.overrides)}))  # as it is read again

    def _record(self) -> Mapping[str, Any]:
        path = self.folder / "trial.json"
        return read_json(path) if path.is_file() else {}

    def _write(self, trained: bool) -> None:
        content = {"asked": self._asked(), "trained": trained}
        write_text(self.folder / "trial.json", json.dumps(content, indent=2) + "\n")

    def _call(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        log = self.folder / "log.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {shlex.join(['monai-kd', *words])}\n")
            file.flush()
            program = [sys.executable, "-m", "monai_kd", *words]
            done = subprocess.run(program, env=environment, stdout=file, stderr=subprocess.STDOUT)
        if done.returncode:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1]
            why = last.removeprefix("error: ") if last.startswith("error: ") else ""  # else the log tells it in full
            raise DistillationError(f"exit status {done.returncode}", where=str(log), why=why)
