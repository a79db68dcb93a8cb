from mlorch_site.launch.supervisor.logs import FILES_KEPT, LogBook


def test_line__no_terminal__has_the_name_in_front_and_no_colour(tmp_path, capsys):
    LogBook(tmp_path).line("web", "hello")
    assert capsys.readouterr().out == "web      | hello\n"
    assert (tmp_path / "web.log").read_text() == "hello\n"


def test_line__terminal__name_is_coloured_and_the_file_is_not(tmp_path, capsys):
    LogBook(tmp_path, colour=True).line("web", "hello")
    assert capsys.readouterr().out.startswith("\x1b[")
    assert (tmp_path / "web.log").read_text() == "hello\n"


def test_line__not_to_be_kept__is_in_no_file(tmp_path, capsys):
    LogBook(tmp_path).line("up", "engineer a-password", keep=False)
    assert "a-password" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_line__many__files_stay_within_their_bound(tmp_path):
    book = LogBook(tmp_path, file_max_bytes=1000)
    for number in range(1000):
        book.line("web", f"line {number}")
    files = list(tmp_path.iterdir())
    assert len(files) == FILES_KEPT + 1
    assert sum(file.stat().st_size for file in files) <= 1000 * len(files)
    assert (tmp_path / "web.log").read_text().endswith("line 999\n")


def test_line__per_cent_signs__are_left_alone(tmp_path):
    LogBook(tmp_path).line("web", "100 % of %s")
    assert (tmp_path / "web.log").read_text() == "100 % of %s\n"
