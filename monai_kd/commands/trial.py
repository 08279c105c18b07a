# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_kd.commands.overrides import typed
from monai_kd.utils import write_text
from monai_kd.utils.errors import ConfigError, DistillationError

__all__ = ["Trial"]


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
            trained.
        overrides: keys and values laid over the bundle, besides the folder and where to resume.
        config_file: more files to lay over.
        teacher: folder of another bundle, which teaches.
        trust: run a bundle in which there is code that is not MONAI's.
    """

    recipe: str
    bundle: Path
    folder: Path
    weights: Path
    overrides: Mapping[str, Any] = field(default_factory=dict)
    config_file: Sequence[str] = ()
    teacher: str | None = None
    trust: bool = False

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
    def trained(self) -> bool:
        """Whether the training is done."""
        elsewhere = self.weights.parent != self.folder
        return self.weights.is_file() and (elsewhere or self._record().get("trained", True))

    @property
    def tested(self) -> bool:
        """Whether the test is done, of what was trained."""
        return self.trained and (self.folder / "run.json").is_file()

    def check(self) -> None:
        """See that what the folder holds is of this trial.

        Raises:
            ConfigError: it was begun with other overrides; names them.
        """
        before, now = self._record().get("asked"), self._asked()
        if before is not None and before != now:
            flat = [{**a["overrides"], **{k: v for k, v in a.items() if k != "overrides"}} for a in (before, now)]
            changed = sorted(k for k in {*flat[0], *flat[1]} if flat[0].get(k) != flat[1].get(k))
            told = ", ".join(f"{k} {flat[0].get(k)!r}, now {flat[1].get(k)!r}" for k in changed)
            fix = "ask for the same, choose another --output_dir, or remove this folder"
            raise ConfigError(f"was begun with {told}", where=str(self.folder), fix=fix)

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
            done = "trained and tested"
        self._call(self.words("evaluate"), environment)
        return done

    def _asked(self) -> dict[str, Any]:
        asked = {"recipe": self.recipe, "config_file": list(self.config_file), "teacher": self.teacher}
        return json.loads(json.dumps({**asked, "overrides": dict(self.overrides)}))  # as it is read again

    def _record(self) -> dict[str, Any]:
        path = self.folder / "trial.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

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
