"""What files say of a version is read as hostile text: bounded, never run, always storable."""

import json

import pytest

from registry.artifact_facts import DEPTH_MAX, artifact_facts, storable

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_facts__of_a_usual_version__read(tmp_path):
    (tmp_path / "MLmodel").write_text(
        "flavors:\n  sklearn: {}\n  python_function: {python_version: 3.11.9}\nmlflow_version: 3.17.2\n"
        'signature:\n  inputs: \'[{"name": "x", "type": "double"}]\'\n  outputs: \'[{"type": "long"}]\'\n'
    )
    (tmp_path / "requirements.txt").write_text("# made by mlflow\nscikit-learn==1.7.2\n\nnumpy==2.3.4\n")
    (tmp_path / "serving_input_example.json").write_text('{"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}')
    facts, signature = artifact_facts(tmp_path)
    assert facts["flavors"] == ["python_function", "sklearn"]
    assert facts["python"] == "3.11.9"
    assert facts["requirements"] == ["scikit-learn==1.7.2", "numpy==2.3.4"]
    assert facts["input_example"] == {"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}
    assert signature == {"inputs": [{"name": "x", "type": "double"}], "outputs": [{"type": "long"}], "params": None}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("build_dependencies:\n- pip==23.1\n- setuptools==59.8.0\n- wheel\n", ["setuptools==59.8.0", "wheel"]),
        ("build_dependencies: 7\n", []),
        ("build_dependencies: [[a], {b: c}, 1.5]\n", ["1.5"]),
        ("- a\n", []),
        ("a: [\n", []),
    ],
)
def test_facts__built_with__read_without_pip(tmp_path, text, wanted):
    (tmp_path / "python_env.yaml").write_text(text)

    assert artifact_facts(tmp_path)[0]["build_requirements"] == wanted


def test_facts__no_files__empty(tmp_path):
    facts, signature = artifact_facts(tmp_path)
    assert (facts["flavors"], facts["requirements"], facts["input_example"], signature) == ([], [], None, None)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "- a list",
        "!!python/object/apply:os.system ['id']",
        "signature: {inputs: '[1, 2]', outputs: '{'}",
        "signature: {inputs: '" + "[" * 3000 + "'}",
        BOMB + "signature: {inputs: *i}\nflavors: {python_function: {python_version: *i}}\nmlflow_version: *i\n",
    ],
)
def test_facts__hostile_mlmodel__gives_small_storable_data(tmp_path, text):
    (tmp_path / "MLmodel").write_text(text)
    facts, signature = artifact_facts(tmp_path)
    assert len(json.dumps([facts, signature], allow_nan=False)) < 1000


def test_example__with_nan_nul_and_half_a_character__is_storable(tmp_path):
    (tmp_path / "serving_input_example.json").write_text('{"inputs": [NaN, Infinity, "a\\u0000b", "\\ud800"]}')
    facts, _ = artifact_facts(tmp_path)
    assert facts["input_example"] == {"inputs": [None, None, "ab", "?"]}


def test_storable__too_deep__refused():
    value: list = []
    for _ in range(DEPTH_MAX + 1):
        value = [value]
    with pytest.raises(ValueError, match="too deep"):
        storable(value)
