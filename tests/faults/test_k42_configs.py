# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""K42: a bundle's configuration that would run other code than MONAI's is found, and not run."""

from __future__ import annotations

import json

import pytest
import yaml
from monai.bundle import ConfigParser

from monai_kd.commands.check_bundle import check_bundle, findings, is_ours, refuse_foreign
from monai_kd.recipes import list_recipes
from monai_kd.utils import ConfigError
from monai_kd.utils.lint_config import imported_names, lint_config
from tests.conftest import ROOT

BUNDLES = sorted(path for path in (ROOT / "bundles").iterdir() if (path / "configs").is_dir())

# MARK is a folder that the payload makes
EXPRESSIONS = [
    "$__import__('os').mkdir('MARK')",
    "$os.mkdir('MARK')",
    "$os.system('mkdir MARK')",
    "$os.path.os.system('mkdir MARK')",
    "$glob.os.mkdir('MARK')",
    "$monai.data.utils.os.mkdir('MARK')",
    "$torch.os.mkdir('MARK')",
    "$torch.serialization.pickle.loads(b'')",
    "$[c for c in ().__class__.__base__.__subclasses__()][0]",
    "$(lambda: 0).__globals__['__builtins__']['eval']('1')",
    "$(x for x in ()).gi_frame.f_builtins['exec']('1')",
    "$getattr(os, 'sys' + 'tem')('mkdir MARK')",
    "$getattr(os, 'mkdir')('MARK')",
    "$getattr(torch, '__builtins__')",
    "$f'{os.mkdir(\"MARK\")}'",
    "$'{0.__globals__}'.format(monai.data.Dataset)",
    "$(lambda: os.mkdir('MARK'))()",
    "$(lambda m: m.mkdir('MARK'))(os)",
    "$[m.mkdir('MARK') for m in [os]]",
    "$[os for os in [os]][0].mkdir('MARK')",
    "$[os.mkdir('MARK') for _ in range(1)]",
    "${k: os.mkdir('MARK') for k in 'a'}",
    "$(m := os).mkdir('MARK')",
    "$[0 for monai.utils.run_eval in [1]]",
    "$eval('1')",
    "$exec('1')",
    "$compile('1', '', 'eval')",
    "$open('MARK', 'w')",
    "$list(map(eval, ['1']))",
    "$breakpoint()",
    "$globals()",
    "$(lambda setattr: setattr(torch.backends.cudnn, 'benchmark', True))(lambda m, *a: m.os)",
    "$(lambda getattr: getattr(torch, 'float32'))(lambda m, a: m.os)",
    "$setattr(monai.utils, 'run_eval', True)",
    "$delattr(monai.utils, 'run_eval')",
    "$functools.partial(getattr, torch)('os')",
    "$@thing.os.mkdir('MARK')",
    "$@thing.f_globals",
    "$type('X', (), {})",
    "$monai.utils.optional_import('os')[0].mkdir('MARK')",
    "$monai.utils.run_cmd(['mkdir', 'MARK'])",
    "$monai.bundle.run(config_file='evil.yaml')",
    "$monai.transforms.LoadImage('os.mkdir', path='MARK')",
    "$monai.losses.PerceptualLoss(2, 'radimagenet_resnet50', cache_dir='models')",
    "$monai.losses.perceptual.RadImageNetPerceptualSimilarity(cache_dir='models')",
    "$monai.networks.nets.resnet10(True)",
    "$monai.networks.nets.resnet10(pretrained=True)",
    "$functools.partial(monai.networks.nets.resnet10, True)",
    "$dict(pretrained=True)",
    "${'pretrained': 1 == 1}",
    "$monai.networks.nets.get_pretrained_resnet_medicalnet(10)",
    "$monai.networks.nets.densenet.load_state_dict_from_url('http://a/b.pt')",
    "$monai.networks.nets.senet.download_url('http://a/b', 'MARK')",
    "$monai.networks.nets.HoVerNet(pretrained_url='http://a/b.pt')",
    "$monai.apps.download_and_extract('http://a/b.zip', 'MARK')",
    "$monai.apps.download_mmar('a')",
    "$@net.from_pretrained('a/b')",
    "$monai_kd.networks.load_teacher_bundle('elsewhere')",
    "$monai_kd.utils.write_text('MARK', 'x')",
    "$monai_kd.commands.run",
    "$torch.load('x.pt')",
    "$torch.load('x.pt', None, pickle, weights_only=True)",
    "$torch.load('x.pt', weights_only=True, **@more)",
    "$torch.load('x.pt', weights_only=True, weights_only=False)",
    "$map(torch.load, ['x.pt'])",
    "$@initialize::0.os",
    "$torch.load('x.pt', weights_only=False)",
    "$torch.hub.load('a/b', 'c')",
    "$torch.jit.load('http://a/b.ts')",
    "$torch.package.PackageImporter('x')",
    "$torch.ops.load_library('x.so')",
    "$torch.classes.load_library('x.so')",
    "$torch.utils.cpp_extension.load('x', 'x.cpp')",
    "$torch.cuda.memory.CUDAPluggableAllocator('x.so', 'a', 'b')",
    "$torch.from_file('MARK', shared=True, size=1)",
    "$torch.ones(1).numpy().tofile('MARK')",
    "$np.save('MARK', 1)",
    "$np.load('x.npy', allow_pickle=True)",
    "$np.load('x.npy', None, True)",
    "$functools.partial(np.load, allow_pickle=True)",
    "$dict(weights_only=False)",
    "${'allow_pickle': True}",
    "$pathlib.Path('payload').replace('/tmp/MARK')",
    "$@path.replace('MARK')",
    "$sys.modules['os'].mkdir('MARK')",
    "$os.environ['HOME']",
    "$os.environ",
    "$pickle.loads(b'')",
    "$subprocess.run(['mkdir', 'MARK'])",
    "$shutil.rmtree('x')",
    "$unknown.mkdir('MARK')",
    "$torch",
    "$@imports::0.mkdir('MARK')",
    "$@['imports'][0].mkdir('MARK')",
    "$__local_refs['imports::0'].mkdir('MARK')",
    "$monai.networks.nets.FLEXUNET_BACKBONE.register_class('scripts.evil')",
    "$import os; os.mkdir('MARK')",
    "$import subprocess",
    "$from os import mkdir",
    "$from torch import os",
    "$import scripts.evil",
    "$(",
    "$" + "(" * 300 + ")" * 300,
    "$'" + "x" * 20_000 + "'",
    "@imports::0",
    "@",
    "%imports::0",
    "%other.json::key",
    "os.system",
    "scripts.evil.Net",
]
COMPONENTS = [
    {"_target_": "os.mkdir", "path": "MARK"},
    {"_target_": "os.system", "command": "mkdir MARK"},
    {"_target_": "posix.mkdir", "path": "MARK"},
    {"_target_": "builtins.eval", "source": "1"},
    {"_target_": "eval"},
    {"_target_": "run"},
    {"_target_": "subprocess.run", "args": ["mkdir", "MARK"]},
    {"_target_": "monai.data.utils.os.mkdir", "path": "MARK"},
    {"_target_": "monai.bundle.run", "config_file": "evil.yaml"},
    {"_target_": "monai.utils.run_cmd", "cmd_list": ["mkdir", "MARK"]},
    {"_target_": "torch.load", "f": "x.pt"},
    {"_target_": "torch.hub.load", "repo_or_dir": "a/b", "model": "c"},
    {"_target_": "torch.nn"},
    {"_target_": "scripts.net.Net"},
    {"_target_": "nowhere.Net"},
    {"_target_": "@name"},
    {"_target_": "%name"},
    {"_target_": "$'os' + '.mkdir'", "path": "MARK"},
    {"_target_": "$os.mkdir", "path": "MARK"},
    {"_target_": ["os.mkdir"]},
    {"_target_": "LoadImaged", "keys": "image", "reader": "os.mkdir", "path": "MARK"},
    {"_target_": "LoadImaged", "keys": "image", "reader": "$'os' + '.mkdir'"},
    {"_target_": "LoadImaged", "keys": "image", "reader": "$monai.data.utils.os.mkdir", "path": "MARK"},
    {"_target_": "LoadImaged", "keys": "image", "reader": "@name"},
    {"_target_": "LoadImaged", "keys": "image", "reader": "NumpyReader", "allow_pickle": True},
    {"_target_": "LoadImage", "_mode_": "callable"},
    {"_target_": "SaveImage", "writer": "scripts.evil"},
    {"_target_": "PatchInferer", "merger_cls": "scripts.evil"},
    {"_target_": "PersistentDataset", "data": [], "transform": None, "cache_dir": "x", "weights_only": False},
    {"_target_": "PerceptualLoss", "spatial_dims": 2, "network_type": "radimagenet_resnet50", "cache_dir": "models"},
    {"_target_": "monai.losses.PerceptualLoss", "spatial_dims": 2},
    {"_target_": "monai.losses.perceptual.MedicalNetPerceptualSimilarity", "cache_dir": "models"},
    {"_target_": "monai.losses.perceptual.TorchvisionModelPerceptualSimilarity", "net": "resnet50"},
    {"_target_": "Transchex", "in_channels": 3},
    {"_target_": "EfficientNetBN", "model_name": "efficientnet-b0"},
    {"_target_": "EfficientNetBN", "model_name": "efficientnet-b0", "pretrained": "$1 == 1"},
    {"_target_": "TextEncoder", "out_channels": 2},
    {"_target_": "DenseNet121", "spatial_dims": 2, "in_channels": 3, "out_channels": 2, "pretrained": True},
    {"_target_": "resnet10", "pretrained": "@other"},
    {"_target_": "resnet10", "pretrained": "models/x.pt"},
    {"_target_": "HoVerNet", "pretrained_url": "http://a/b.pt"},
    {"_target_": "TorchVisionFCModel", "model_name": "resnet18", "pretrained": False, "weights": "DEFAULT"},
    {"_target_": "TorchVisionFCModel", "model_name": "resnet18", "pretrained": False, "weights": "$@weights"},
    {"_target_": "monai.apps.download_url", "url": "http://a/b", "filepath": "MARK"},
    {"_target_": "monai.apps.MedNISTDataset", "root_dir": ".", "section": "test", "download": True},
    {"_target_": "monai.apps.load_from_mmar", "item": "a", "mmar_dir": "models"},
    {"_target_": "ignite.metrics.FID"},
    {"_target_": "ClassificationSaver", "output_dir": "/root", "filename": ".bashrc"},
    {"_target_": "ClassificationSaver", "output_dir": "x", "filename": "../../.bashrc"},
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "/etc"},
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$'/etc'"},
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$os.path.join(@bundle_root, '/etc')"},
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$@bundle_root + '/../../etc'"},
    {"_target_": "MetricsSaver", "save_dir": "~/.config"},
    {"_target_": "monai_kd.handlers.FinalModelSaver", "network": "@network", "path": "/etc/model.pt"},
    {"_target_": "DiceLoss", "_mode_": "debug"},
    {"_target_": "DiceLoss", "_debug_": True},
    {"_target_": "DiceLoss", "_disabled_": "$os.mkdir('MARK')"},
    {"_target_": "DiceLoss", "_requires_": ["$os.mkdir('MARK')"]},
    {"_target_": "DiceLoss", "_desc_": {"_target_": "os.mkdir", "path": "MARK"}},
]
PAYLOADS = [*EXPRESSIONS, *COMPONENTS]


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """What a payload makes in the folder it runs in; it must not be there at the end."""
    monkeypatch.chdir(tmp_path)
    yield "MARK"
    assert not (tmp_path / "MARK").exists()


def bundle(folder, **configs):
    (folder / "configs").mkdir(parents=True)
    for stem, config in configs.items():
        (folder / "configs" / f"{stem}.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_a_payload_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ConfigParser({"x": {"_target_": "os.mkdir", "path": "MARK"}}).get_parsed_content("x")
    assert (tmp_path / "MARK").is_dir()


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: str(payload)[:60])
def test_payload(marker, payload):
    imports = ["$import monai", "$import torch", "$import os", "$import glob", "$import numpy as np"]
    for config in ({"x": payload}, {"a::b": [{"c": {"d": payload}}]}, [payload], {"run": [payload]}):
        assert lint_config(config, "train.yaml"), config
    assert lint_config({"imports": imports, "x": payload}, "train.yaml")
    assert lint_config({"imports": [payload]}, "train.yaml") or payload == "$import os; os.mkdir('MARK')"


def test_a_name_stands_for_what_was_imported():
    config = {"imports": ["$from datetime import datetime"], "initialize": ["$import torch.distributed as dist"]}
    assert lint_config({**config, "x": "$datetime.now()", "y": "$dist.get_rank()"}, "train.yaml") == []


def test_payload_in_any_file(tmp_path, marker):
    (bundle(tmp_path / "b", inference={}) / "configs" / "metadata.json").write_text(json.dumps({"x": EXPRESSIONS[0]}))
    bundle(tmp_path / "b" / "nested", train={"x": COMPONENTS[0]})
    assert {f.file for f in findings(tmp_path / "b")} == {"configs/metadata.json", "nested/configs/train.yaml"}


def test_a_name_that_another_file_gives(tmp_path):
    folder = bundle(tmp_path / "b", a={"imports": ["$import torch as json"]}, b={"x": "$json.os.mkdir('MARK')"})
    assert {f.file for f in findings(folder)} == {"configs/b.yaml"}


@pytest.mark.parametrize("key", ["x::_target_", "x#_target_", "+x::_target_", "_target_"])
def test_a_target_laid_over_another(key):
    assert lint_config({key: "os.mkdir"}, "overlay.yaml")


@pytest.mark.parametrize(
    "config",
    [
        {"x::_mode_": "callable"},
        {"+x": {"_mode_": "callable"}},
        {"x::_target_": "LoadImage"},
        {"+x": {"_target_": "LoadImage"}},
        {"x": {"_target_": "LoadImage", "_mode_": "callable"}},
    ],
)
def test_a_reader_is_never_handed_on(config):
    assert lint_config(config, "overlay.yaml")


@pytest.mark.parametrize("text", ["$@#c + ' + '", "$'x' + @#c", "$'x' + @::c", "@##c", "%good"])
def test_a_key_that_would_become_code(text):
    config = {"y or __import__('os').mkdir('MARK') or '": {"b": text}, "good": "$'x' + @#c"}
    assert [f.what for f in lint_config(config, "x.yaml")] == [
        "refers relatively, or copies, below a key that is no name"
    ]


@pytest.mark.parametrize("key", ["x::pretrained", "x::args::output_dir", "+x::pretrained_url"])
def test_an_argument_laid_over_another(key):
    assert lint_config({key: "/etc"}, "overlay.yaml")


def test_an_output_folder_is_followed_to_where_it_is_given():
    saver = {"_target_": "MetricsSaver", "save_dir": "@where::0"}
    found = [lint_config({"where": [where], "x": saver}, "x.yaml") for where in ("/etc", "$@bundle_root + '/output'")]
    assert [f.key for f in found[0]] == ["x::save_dir"] and found[1] == []
    assert lint_config({"where": ["/etc"], "x": saver}, "x.yaml", outputs=False) == []


@pytest.mark.parametrize("name", ["models/owner_name_main/hubconf.py", "scripts/hubconf.py", "wandb.py", "a/b.ipynb"])
def test_code_where_it_could_be_run_by_itself(tmp_path, name):
    (tmp_path / "b" / name).parent.mkdir(parents=True)
    (tmp_path / "b" / name).write_text("raise SystemExit")
    assert [(f.level, f.file) for f in findings(tmp_path / "b")] == [("error", name)]


def test_code_by_another_name(tmp_path):
    folder = bundle(tmp_path / "b", train={})
    (folder / "scripts").mkdir()
    (folder / "wandb").symlink_to(folder / "scripts", target_is_directory=True)
    assert [(f.level, f.file) for f in findings(folder)] == [("error", "wandb")]


def test_a_configuration_behind_a_link(tmp_path):
    folder = bundle(tmp_path / "b")
    (tmp_path / "x.yaml").write_text("x: \"$eval('1')\"")
    (folder / "configs" / "train.yaml").symlink_to(tmp_path / "x.yaml")
    assert [f.level for f in findings(folder)] == ["warning", "error"]


@pytest.mark.parametrize(
    "text", ["a: &a [x]\nb: [*a, *a]\nc: &c {c: *c}", "x: !!python/object/apply:os.mkdir [MARK]", "x: [", "a: 1\na: 2"]
)
def test_yaml_made_to_break_a_parser(tmp_path, marker, text):
    (bundle(tmp_path / "b") / "configs" / "train.yaml").write_text(text)
    assert check_bundle(tmp_path / "b")[1] == 1 or text.startswith("a: 1")


def test_yaml_that_multiplies(tmp_path):
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (bundle(tmp_path / "b") / "configs" / "train.yaml").write_text("\n".join(lines))
    assert [f.what for f in findings(tmp_path / "b")] == ["is nested too deep or repeats itself"]


@pytest.mark.parametrize(
    "lines",
    [
        "class=eval",
        "class=logging.os.system",
        "class=handlers.SocketHandler\nargs=('host', 1)",
        "class=StreamHandler\nargs=(__import__('os').mkdir('MARK'),)",
        "class=StreamHandler\nargs=(sys.modules['os'].mkdir('MARK'),)",
        "class=FileHandler\nargs=('/root/.bashrc',)",
        "class=FileHandler\nargs=('../../x.log',)",
        "class=FileHandler\nkwargs={'filename': eval('1')}",
        "class=FileHandler\nargs=('%(x)s',)\nx=',) + __import__('os').mkdir('MARK') + ('",
        "defaults=__import__('os').mkdir('MARK')",
    ],
)
def test_logging(tmp_path, marker, lines):
    (bundle(tmp_path / "b") / "configs" / "logging.conf").write_text(f"[handler_x]\n{lines}\n")
    assert [f.level for f in findings(tmp_path / "b")] == ["error"]


def test_logging_as_it_should_be(tmp_path):
    text = (
        "[handler_x]\nclass=StreamHandler\nargs=(sys.stdout,)\n[handler_y]\nclass=FileHandler\nargs=('run.log', 'a')\n"
    )
    (bundle(tmp_path / "b") / "configs" / "logging.conf").write_text(text)
    assert findings(tmp_path / "b") == []


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
def test_our_bundles_pass(folder):
    assert [f for f in findings(folder) if f.file.startswith("configs/")] == []
    assert check_bundle(folder)[1] == 0 and is_ours(folder)


def test_our_recipes_pass():
    assert len(BUNDLES) >= 6
    names = imported_names(ConfigParser.load_config_file(BUNDLES[0] / "configs" / "train.yaml"))
    found = {recipe.id: lint_config(recipe.config, recipe.id, names) for recipe in list_recipes()}
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize(
    "text",
    [
        "$os.path.join(@bundle_root, 'models', 'model.pt')",
        "$sorted(glob.glob(os.path.join(@dir, '*.nii.gz')))",
        "$[{'image': i, 'label': l.replace('a', 'b')} for i, l in zip(@images, @labels)]",
        "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "$int(os.environ['LOCAL_RANK']) + int(os.environ.get('RANK', 0))",
        "$getattr(torch, 'float32')",
        "$setattr(torch.backends.cudnn, 'benchmark', True)",
        "$monai.transforms.Compose([monai.transforms.Flip(0)])",
        "$lambda x: np.concatenate([np.array(x), np.random.rand(3)]).astype(np.float32)",
        '$f"{@fold:02d} of {len(@folds)}"',
        "$@network.parameters()",
        "$torch.load(@path, map_location=@device, weights_only=True)",
        "$[t.copy() for t in @tables]",
        "$torch.jit.load(@path, map_location=@device)",
        "plain text, with @ and $ in it",
        "case.nii.gz",
    ],
)
def test_honest_texts_pass(text):
    config = {"imports": ["$import os", "$import glob", "$import numpy as np"], "x": text}
    assert lint_config(config, "train.yaml") == []


@pytest.mark.parametrize(
    "component",
    [
        {"_target_": "LoadImaged", "keys": ["image"], "reader": "ITKReader"},
        {"_target_": "torch.optim.Adam", "params": "$@network.parameters()", "lr": 1e-3},
        {"_target_": "monai.networks.nets.UNet", "spatial_dims": 2},
        {"_target_": "ignite.metrics.Accuracy"},
        {"_target_": "LoadImaged", "keys": ["image"], "reader": "$monai.data.PILReader"},
        {"_target_": "LoadImaged", "keys": ["image"], "reader": "@reader"},
        {"_target_": "monai.transforms.io.array.LoadImage", "reader": None},
        {"_target_": "EfficientNetBN", "model_name": "efficientnet-b0", "pretrained": False},
        {"_target_": "resnet10", "pretrained": "@pretrained"},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$@bundle_root + '/eval'", "output_postfix": "seg"},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$os.path.join(@bundle_root, @x.replace('/', '_'))"},
        {"_target_": "ClassificationSaver", "output_dir": "eval", "filename": "predictions.csv"},
    ],
)
def test_honest_components_pass(component):
    assert lint_config({"imports": ["$import os"], "x": component}, "train.yaml") == []


def test_code_is_a_warning_and_an_error_where_a_target_names_it(tmp_path):
    folder = bundle(tmp_path / "b", train={"net": {"_target_": "scripts.net.Net"}})
    (folder / "scripts").mkdir()
    (folder / "scripts" / "net.py").write_text("raise SystemExit\n")
    assert [(f.level, f.file) for f in findings(folder)] == [
        ("warning", "scripts/net.py"),
        ("error", "configs/train.yaml"),
    ]


def test_table_and_refusal(tmp_path):
    folder = bundle(tmp_path / "b", train={"x": "$eval('1')"})
    (folder / "scripts").mkdir()
    (folder / "scripts" / "read.py").write_text("")
    text, status = check_bundle(folder)
    assert status == 1 and text.splitlines()[1].split()[:3] == ["error", "configs/train.yaml", "x"]
    assert text.splitlines()[-1] == f"{folder}: 1 error, 1 warning, 0 notes"
    with pytest.raises(ConfigError, match=r"configs/train.yaml x: uses 'eval'"):
        refuse_foreign(folder)


def test_what_is_not_refused(tmp_path):
    folder = bundle(tmp_path / "b", train={"x": 1})
    (folder / "scripts").mkdir()
    (folder / "scripts" / "read.py").write_text("")
    refuse_foreign(folder)
    refuse_foreign(BUNDLES[0])
    assert not is_ours(folder) and not is_ours(ROOT / "bundles" / ".." / "tests")


def test_a_name_cannot_write_to_the_terminal(tmp_path):
    folder = bundle(tmp_path / "b", train={"\x1b[2Jx\n": "$eval('1')"})
    assert "\x1b" not in check_bundle(folder)[0]


def test_no_such_folder(tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        check_bundle(tmp_path / "nowhere")
