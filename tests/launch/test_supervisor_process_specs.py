"""Who gets which secret, and where sockets and files lie."""

import json
import os
import stat
import tempfile
from pathlib import Path

import pytest
from django.utils.module_loading import import_string

from mlorch_site.launch.supervisor import secrets_file
from mlorch_site.launch.supervisor.options import Options, default_gateway_processes, options_from
from mlorch_site.launch.supervisor.ordinary_user import NOBODY_ELSE
from mlorch_site.launch.supervisor.process_specs import SOCKET_PATH_MAX_BYTES, Plan, made_run_dir, run_dir
from mlorch_site.lib.connection_limits import LimitedConnection

SECRETS = {
    name: f"the-{name}-secret" for name in ("django", "control", "metrics", "mlflow_webhook", "mlflow_encryption")
}
# Which secrets may be in the environment of which process.
NEEDED = {
    "broker": set(),
    "mlflow": {"mlflow_encryption"},
    "web": {"django", "control", "metrics", "mlflow_webhook"},
    "control": {"django", "control", "metrics", "mlflow_webhook"},
    "beat": {"django", "control", "metrics", "mlflow_webhook"},
    "gateway": {"control"},
    "agent": {"control"},
    "demo": set(),
}


@pytest.fixture
def clean(monkeypatch):
    for name in ("REDIS_URL", "MLFLOW_TRACKING_URI", "DATABASE_URL", "BROKER_URL", "DJANGO_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def specs(data_dir):
    plan = Plan(Options(data_dir, 8000, 8080, 5000, True), SECRETS)
    made = [plan.broker(), plan.mlflow(), plan.web(), plan.celery("control", "control", 2), plan.beat()]
    made += [*plan.gateways(), plan.agent(), plan.demo()]
    return {spec.name: spec for spec in made if spec}


@pytest.mark.parametrize("name", NEEDED)
def test_environment__each_process__has_the_secrets_it_needs_and_no_other(clean, tmp_path, name):
    values = " ".join(specs(tmp_path)[name].env.values())
    assert {secret for secret, value in SECRETS.items() if value in values} == NEEDED[name]


@pytest.mark.parametrize("name", NEEDED)
def test_environment__something_private_in_ours__is_not_passed_on(clean, tmp_path, name):
    clean.setenv("CLOUD_PASSWORD", "hunter2")
    assert "CLOUD_PASSWORD" not in specs(tmp_path)[name].env


def test_environment__what_opens_a_copy_of_checkpoints__reaches_the_site_when_there_is_one(clean, tmp_path):
    clean.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    clean.setenv("SSH_AUTH_SOCK", "/agent")
    assert not {"AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK"} & specs(tmp_path)["web"].env.keys()
    clean.setenv("MLORCH_AUDIT_COPY_S3", "s3://bucket")
    clean.setenv("MLORCH_AUDIT_COPY_GIT_PUSH", "ssh://git@example/x")
    made = specs(tmp_path)

    assert {name for name, spec in made.items() if "hunter2" in spec.env.values()} == {"web", "control", "beat"}
    assert {name for name, spec in made.items() if "/agent" in spec.env.values()} == {"web", "control", "beat"}


def test_environment__settings_of_the_site__reach_it(clean, tmp_path):
    clean.setenv("MLORCH_SESSION_IDLE_S", "60")
    clean.setenv("DATABASE_URL", "postgres://example")
    made = specs(tmp_path)
    assert made["web"].env["MLORCH_SESSION_IDLE_S"] == "60"
    assert made["beat"].env["DATABASE_URL"] == "postgres://example"
    assert "DATABASE_URL" not in made["gateway"].env


def test_environment__data_directory_of_the_shell__does_not_win_over_the_option(clean, tmp_path):
    clean.setenv("MLORCH_DATA_DIR", "/elsewhere")
    assert {spec.env["MLORCH_DATA_DIR"] for spec in specs(tmp_path).values()} == {str(tmp_path)}


def test_environment__control_token_given__site_gateway_and_agent_agree_on_it(clean, tmp_path):
    clean.setenv("MLORCH_CONTROL_TOKEN", "a-token-of-their-own")
    made = specs(tmp_path)
    assert {made[name].env["MLORCH_CONTROL_TOKEN"] for name in ("web", "gateway", "agent")} == {"a-token-of-their-own"}


def test_environment__what_bounds_sandboxes_and_builds__reaches_the_agent(clean, tmp_path):
    clean.setenv("MLORCH_AGENT_SANDBOX", "partly")
    clean.setenv("MLORCH_SOURCE_BUILDS", "old-package")
    env = specs(tmp_path)["agent"].env
    assert (env["MLORCH_AGENT_SANDBOX"], env["MLORCH_SOURCE_BUILDS"]) == ("partly", "old-package")


def test_broker__redis_given__is_not_ours_to_start(clean, tmp_path):
    clean.setenv("REDIS_URL", "redis://example:6379/0")
    made = specs(tmp_path)
    assert "broker" not in made
    assert made["web"].env["REDIS_URL"] == "redis://example:6379/0"


def test_broker__private__listens_on_no_port(clean, tmp_path):
    command = specs(tmp_path)["broker"].command
    assert command[command.index("--port") + 1] == "0"


def test_mlflow__tracking_server_given__is_not_ours_to_start_and_its_port_not_needed(clean, tmp_path):
    clean.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example")
    assert "mlflow" not in specs(tmp_path)
    assert "--mlflow-port" not in Options(tmp_path, 8000, 8080, 5000, True).ports()


@pytest.fixture
def temporary(monkeypatch):
    """A short directory in the place of the machine's temporary one."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="m-") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


def test_run_dir__deep_data_directory__is_short_private_and_gone_afterwards(temporary):
    deep = temporary / ("d" * 60) / ("e" * 60)
    folder = run_dir(deep)
    assert folder.parent == temporary
    assert len(os.fsencode(folder / "valkey.sock")) < SOCKET_PATH_MAX_BYTES
    assert folder == run_dir(deep) != run_dir(deep / "other")
    with made_run_dir(deep, NOBODY_ELSE):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "valkey.sock").touch()
        assert list((folder / "tmp").iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_run_dir__temporary_directory_is_deep_too__is_in_the_common_one(temporary, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(temporary / ("d" * 100)))
    assert run_dir(temporary / ("e" * 100)).parent == Path("/tmp")


def test_run_dir__ordinary_data_directory__is_in_it_and_stays(temporary):
    assert run_dir(temporary) == temporary / "run"
    for _ in range(2):
        with made_run_dir(temporary, NOBODY_ELSE):
            assert list((temporary / "run" / "tmp").iterdir()) == []
            (temporary / "run" / "tmp" / "left behind").touch()
    assert list((temporary / "run").iterdir()) == []


def test_run_dir__prepared_by_somebody_as_a_link__is_refused(temporary):
    (temporary / "elsewhere").mkdir()
    (temporary / "run").symlink_to(temporary / "elsewhere")
    with pytest.raises(PermissionError, match="belongs to somebody else"), made_run_dir(temporary, NOBODY_ELSE):
        pass


def test_secrets__made_once__are_private_long_and_stay(tmp_path):
    made = secrets_file.load_or_make(tmp_path)
    path = tmp_path / secrets_file.FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secrets_file.load_or_make(tmp_path) == made
    assert min(len(value) for value in made.values()) >= 43
    assert len(set(made.values())) == len(made)


def test_secrets__one_is_new__the_others_stay(tmp_path):
    (tmp_path / secrets_file.FILE_NAME).write_text(json.dumps({"django": "kept"}))
    made = secrets_file.load_or_make(tmp_path)
    assert made["django"] == "kept"
    assert made["control"]


def test_secrets__file_is_damaged__is_told_and_not_replaced(tmp_path):
    path = tmp_path / secrets_file.FILE_NAME
    path.write_text('{"django": "half a sec')
    with pytest.raises(OSError, match="is damaged"):
        secrets_file.load_or_make(tmp_path)
    assert path.read_text() == '{"django": "half a sec'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--web-port", "0"], "'0' is no port"),
        (["--gateway-port", "65536"], "'65536' is no port"),
        (["--mlflow-port", "http"], "'http' is no port"),
        (["--web-port", "8080"], "need different ports"),
        (["--data", __file__], "is a file, not a directory"),
        (["--nodemo"], "unrecognized arguments"),
    ],
)
def test_options__without_sense__are_refused_with_a_reason(clean, capsys, arguments, words):
    with pytest.raises(SystemExit) as ended:
        options_from(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_gateways__several__one_port_and_names_of_their_own(clean, tmp_path):
    made = Plan(Options(tmp_path, 8000, 8080, 5000, True, 8081, 3), SECRETS).gateways()
    environments = [spec.env for spec in made]
    assert [spec.name for spec in made] == ["gateway-1", "gateway-2", "gateway-3"]
    assert [env["MLORCH_GATEWAY_ID"] for env in environments] == ["gateway-1", "gateway-2", "gateway-3"]
    assert {env["MLORCH_GATEWAY_PORT"] for env in environments} == {"8080"}
    assert {env["MLORCH_GATEWAY_GRPC_PORT"] for env in environments} == {"8081"}
    assert {env["MLORCH_GATEWAY_SHARES_PORT"] for env in environments} == {"1"}


@pytest.mark.parametrize(("cores", "processes"), [(1, 1), (2, 1), (4, 2), (64, 4)])
def test_gateways__default__half_the_cores_and_four_at_most(cores, processes):
    assert default_gateway_processes(cores) == processes


@pytest.mark.parametrize("text", ["0", "65", "two"])
def test_options__senseless_number_of_processes__says_so(text, capsys):
    with pytest.raises(SystemExit):
        options_from(["--gateway-processes", text])
    assert "no number from 1 to 64" in capsys.readouterr().err


def test_web__has_the_limits_of_connections(clean, tmp_path):
    command = specs(tmp_path)["web"].command
    assert import_string(command[command.index("--http") + 1].replace(":", ".")) is LimitedConnection
