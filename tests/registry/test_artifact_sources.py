"""Where artifacts are fetched from, whatever MLflow shows as a version's source."""

import pytest

from registry.artifact_sources import why_not_fetched


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.MLFLOW_TRACKING_URI = "http://mlflow.example:5000"
    settings.SOURCE_FILE_ROOTS = [str(tmp_path / "files")]
    (tmp_path / "files").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "uri",
    [
        "mlflow-artifacts:/1/models/m-1/artifacts",
        "mlflow-artifacts://mlflow.example:5000/1/x",
        "models:/m-1",
        "runs:/abc/model",
        "http://mlflow.example:5000/api/2.0/mlflow-artifacts/artifacts/1",
    ],
)
def test_source__of_the_tracking_server__is_fetched(uri):
    assert why_not_fetched(uri) == ""


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        *((f"{scheme}://bucket/x", f"scheme {scheme}:") for scheme in ("s3", "gs", "wasbs", "ftp", "sftp", "hdfs")),
        ("dbfs:/x", "scheme dbfs:"),
        ("S3://bucket/x", "scheme s3:"),
        ("abfss://a@b/x", "scheme abfss:"),
        ("r2://bucket@account/x", "scheme r2:"),
        ("uc:/volumes/x", "scheme uc:"),
        ("http://evil.example/x", "evil.example, which is not the tracking server"),
        ("https://mlflow.example:5000/x", "not the tracking server"),
        ("http://mlflow.example:5001/x", "not the tracking server"),
        ("http://mlflow.example:5000@evil.example/x", "not the tracking server"),
        ("http://169.254.169.254/latest", "not the tracking server"),
        ("mlflow-artifacts://evil.example/x", "not the tracking server"),
        ("models://profile@databricks/x/1", "another registry"),
        ("runs://profile@databricks/x/1", "another registry"),
        ("file:///etc/passwd", "outside the folder"),
        ("/etc/passwd", "outside the folder"),
        ("files/x", "outside the folder"),
        ("file://host/etc", "outside the folder"),
        ("http://[", "no address"),
        ("", "outside the folder"),
    ],
)
def test_source__elsewhere__is_refused_with_a_sentence(uri, why):
    assert why in why_not_fetched(uri)


def test_file__inside_its_folder__is_fetched_and_ways_out_are_not(place):
    inside = place / "files" / "1"
    inside.mkdir()
    (place / "files" / "link").symlink_to("/etc")

    assert why_not_fetched(f"file://{inside}") == ""
    assert why_not_fetched(str(inside)) == ""
    for way_out in (f"file://{place}/files/../x", f"{place}/files-of-others", f"file://{place}/files/link/passwd"):
        assert "outside the folder" in why_not_fetched(way_out)
    assert "outside the folder" in why_not_fetched(f"file://{place}/files/%2e%2e/x")


def test_scheme__that_the_setting_allows__is_fetched(settings):
    settings.SOURCE_SCHEMES = ["s3"]
    assert why_not_fetched("s3://bucket/x") == ""
    assert "scheme file:" in why_not_fetched("/etc/passwd")
