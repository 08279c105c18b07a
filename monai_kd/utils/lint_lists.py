# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What a configuration that nobody vouches for may use; what is not listed is refused."""

from __future__ import annotations

import math
import posixpath

__all__ = [
    "ALLOWED",
    "ATTRIBUTES",
    "BUILTINS",
    "CODE_KEYS",
    "CUDA",
    "DISTRIBUTED",
    "DOWNLOAD_KEYS",
    "LIBRARIES",
    "MODULES",
    "NUMPY",
    "NUMPY_REFUSED",
    "REFUSED",
    "STANDARD",
    "TORCH",
]

LIBRARIES = ("ignite", "monai", "monai_kd", "numpy", "torch")

# Where an object must have been defined, wherever it is named: `monai.data.utils.os` is not MONAI's.
ALLOWED = (
    *(f"monai.{p}" for p in ("data", "engines", "handlers", "inferers", "losses", "metrics", "networks", "optimizers")),
    *("monai.transforms", "monai.visualize", "monai.utils.enums", "monai.utils.misc.set_determinism"),
    *(f"monai.utils.misc.{name}" for name in ("ensure_tuple", "ensure_tuple_rep", "ensure_tuple_size", "first")),
    *(f"monai.apps.{p}" for p in ("deepedit", "deepgrow", "detection", "generation", "nuclick", "pathology")),
    *("monai.apps.reconstruction", "monai.apps.vista3d"),
    *(f"monai_kd.{p}" for p in ("data", "engines", "handlers", "inferers", "losses", "metrics", "networks")),
    *("monai_kd.transforms", "monai_kd.utils.modules", "monai_kd.utils.schedules", "monai_kd.utils.tensors"),
    *(f"monai_kd.report.record.{name}" for name in ("train_seconds", "typed_command", "write_run")),
    *("monai_kd.report.provenance.environment", "ignite.engine.events", "ignite.handlers", "ignite.metrics"),
    *("torch.amp", "torch.autograd.grad_mode", "torch.cuda.amp", "torch.functional", "torch.nn", "torch.optim"),
    *("torch.random", "torch.utils.data", "torch._C._linalg", "torch._C._fft", "torch._C._special"),
)
# In there, what reads and runs another bundle, opens connections, loads compiled code, writes programs or any file;
# `monai.losses.perceptual` runs the `hubconf.py` that it finds where it is told to look.
REFUSED = (
    *(f"ignite.handlers.{name}_logger" for name in ("clearml", "mlflow", "neptune", "polyaxon", "visdom", "wandb")),
    *("monai.handlers.clearml_handlers", "monai.handlers.mlflow_handler", "monai.handlers.trt_handler"),
    *("monai.data.torchscript_utils", "monai.networks.trt_compiler", "monai.networks.utils.save_state"),
    *("monai.networks.utils.convert_to", "monai_kd.networks.teacher_bundle", "torch.utils.data.datapipes"),
    *("monai.losses.perceptual", "monai.networks.nets.transchex", "monai.transforms.utils_create_transform_ims"),
    *("monai.networks.nets.resnet.get_pretrained_resnet_medicalnet", "ignite.metrics.gan"),
)
TORCH = {
    "FloatTensor",
    "Generator",
    "LongTensor",
    "Size",
    "Tensor",
    "device",
    "finfo",
    "iinfo",
    "is_tensor",
    "set_float32_matmul_precision",
}
CUDA = {"current_device", "device_count", "empty_cache", "get_device_name", "is_available", "manual_seed"}
CUDA |= {"manual_seed_all", "set_device", "synchronize"}
DISTRIBUTED = {"barrier", "destroy_process_group", "get_rank", "get_world_size", "init_process_group"}
DISTRIBUTED |= {"is_available", "is_initialized"}
NUMPY = {"", "linalg", "fft", "random"}
NUMPY_REFUSED = {"DataSource", "fromfile", "fromregex", "genfromtxt", "load", "loadtxt", "memmap", "save", "savetxt"}
NUMPY_REFUSED |= {"savez", "savez_compressed", "setbufsize", "seterrcall", "show_config", "test"}

STANDARD = {
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque"},
    "concurrent.futures": {"ThreadPoolExecutor"},
    "copy": {"copy", "deepcopy"},
    "datetime": {"date", "datetime", "timedelta", "timezone"},
    "functools": {"partial", "reduce"},
    "glob": {"escape", "glob", "iglob"},
    "itertools": {"accumulate", "chain", "combinations", "count", "cycle", "islice", "product", "repeat", "starmap"},
    "json": {"dumps", "loads"},
    "logging": {"DEBUG", "ERROR", "INFO", "WARNING", "getLogger", "info"},
    "math": {name for name in dir(math) if not name.startswith("_")},
    "os.path": set(posixpath.__all__),
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath"},
    "random": {"Random", "choice", "choices", "randint", "random", "sample", "seed", "shuffle", "uniform"},
    "re": {"IGNORECASE", "compile", "escape", "findall", "fullmatch", "match", "search", "split", "sub"},
    "sys": {"exit"},
}
MODULES = {*LIBRARIES, *STANDARD, "concurrent", "os"}
"""What `imports` may name, and with it every module of the libraries among them."""

BUILTINS = set(
    "Exception RuntimeError ValueError abs all any bool bytes complex dict divmod enumerate filter float frozenset "
    "int isinstance len list map max min next pow print range repr reversed round set slice sorted str sum tuple zip "
    "callable iter".split()
)

CODE_KEYS = {"allow_pickle", "merger_cls", "pickle_module", "reader", "weights_only", "writer"}
"""Arguments through which MONAI imports what a text names, or unpickles."""

DOWNLOAD_KEYS = {"pretrained", "pretrained_url"}
"""Arguments by which MONAI's networks fetch weights."""

_MODULES_OF_DANGER = "builtins ctypes importlib inspect io marshal multiprocessing os pickle pkgutil posix pty runpy "
_MODULES_OF_DANGER += "shelve shutil socket subprocess sys tempfile threading"
ATTRIBUTES = set(
    "chmod copy_into cr_frame cr_code define dump exec exec_module export_config_file f_back f_builtins f_code "
    "f_globals f_locals fork from_file from_pretrained func_globals gi_code gi_frame ag_frame ag_code hardlink_to "
    "import_module lchmod link_to load_library load_module move move_into mro open popen read_pickle register_class "
    "rename rmdir save savefig symlink_to system tb_frame tb_next to_csv to_pickle tofile touch unlink "
    f"write write_bytes write_text writelines {_MODULES_OF_DANGER}".split()
)
