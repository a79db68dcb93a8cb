"""What reading a version runs is told by what its files are, whatever they are called."""

import io
import json
import pickle
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from registry import artifacts
from tests.registry.test_gates import given, outcome

SKLEARN = {"loader_module": "mlflow.sklearn", "model_path": "model.skops"}


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


def version(flavor: dict | None = SKLEARN, **files: bytes) -> tuple[str, str]:
    """The gate's word on a version with a python_function flavour and files, `__` in whose names stands for a dot."""
    folder = artifacts.path_of("sha256:1")
    folder.mkdir(parents=True)
    flavors = {"flavors": {"python_function": flavor}} if flavor else {}
    (folder / "MLmodel").write_text(yaml.safe_dump(flavors))
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return outcome("artifact_format", given(digest="sha256:1"))


def archive(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for name, data in members.items():
            file.writestr(name.replace("__", "."), data)
    return content.getvalue()


def saved(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


SKOPS = archive(schema__json=json.dumps({"__loader__": "ObjectNode"}).encode(), a__npy=saved(np.ones(2)))
SAFETENSORS = (2).to_bytes(8, "little") + b"{}"


@pytest.mark.parametrize(
    "files",
    [
        {"model__skops": SKOPS},
        {"weights__safetensors": SAFETENSORS},
        {"model__json": b'{"learner": {}}', "requirements__txt": b"numpy==2.3.4\n"},
        {"model__lgb": b"tree\nversion=v4\n"},
        {"table__npy": saved(np.ones(3))},
        {"README__md": b"A model. It reads (tumours).\n", "empty": b""},
    ],
)
def test_data__passes(store, files):
    assert version(**files)[0] == "pass"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"model__txt": pickle.dumps(Evil())}, "model.txt is a pickle"),
        ({"notes__md": pickle.dumps(Evil(), protocol=0)}, "notes.md is a pickle"),
        ({"a__json": pickle.dumps(Evil(), protocol=0) + b"{}"}, "a.json is a pickle"),
        ({"model__safetensors": pickle.dumps(Evil())}, "it imports builtins.print"),
        ({"model__pkl": b"\x80\x04\x95nonsense"}, "it imports unreadable"),
        ({"weights": archive(data__pkl=b"x")}, "with a pickle or code in it"),
        ({"model__joblib": zlib.compress(pickle.dumps([1]))}, "is compressed (zlib)"),
        ({"table__npy": saved(np.array([Evil()], dtype=object))}, "holds Python objects"),
        ({"kernel__so": b"\x7fELF\x02\x01"}, "is compiled code"),
        ({"helper__py": b"print(1)\n"}, "helper.py is code"),
        ({"model__keras": archive(config__json=b"{}")}, "archive of a kind that is not known"),
        ({"model__skops": archive(schema__json=b"{}", a__npy=b"x")}, "archive of a kind that is not known"),
        ({"model__h5": b"\x89HDF\r\n\x1a\n\x00\x00"}, "a format that is not known here"),
        ({"model__zip": b"PK\x03\x04broken"}, "broken archive"),
    ],
)
def test_code_and_what_is_not_known__is_never_a_pass(store, files, words):
    found, sentence = version(**files)
    assert found == "warn"
    assert words in sentence


@pytest.mark.parametrize(
    ("flavor", "words"),
    [
        ({"loader_module": "mlflow.pyfunc.model", "model_code_path": "model.py"}, "model.py is the model itself"),
        (
            {"loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": "/home/a/own.py"},
            "own.py is the model",
        ),
        ({"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl"}, "the model's own class"),
        ({**SKLEARN, "code": "code"}, "code is Python code that comes with the version"),
        ({"loader_module": "my.loader"}, "names my.loader as what loads the version"),
        (None, "declares no flavour"),
    ],
)
def test_declared__what_mlmodel_runs__is_told_without_any_suspicious_file(store, flavor, words):
    found, sentence = version(flavor, data__txt=b"1\n")
    assert found == "warn"
    assert words in sentence


def test_models_from_code__of_real_mlflow__says_which_file_runs(store, tmp_path):
    import mlflow

    source = tmp_path / "model.py"
    source.write_text(
        "import mlflow\n"
        "class Own(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        return model_input\n"
        "mlflow.models.set_model(Own())\n"
    )
    folder: Path = artifacts.path_of("sha256:1")
    folder.parent.mkdir(parents=True)
    mlflow.pyfunc.save_model(folder, python_model=str(source), pip_requirements=["mlflow"])
    found, sentence = outcome("artifact_format", given(digest="sha256:1"))

    assert found == "warn"
    assert sentence == "model.py is the model itself, as Python code, and runs when it is loaded."
