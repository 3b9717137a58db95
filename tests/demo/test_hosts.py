"""Finding ComfyUI: the order of places, the interpreter, the version, the error for a wrong path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from p2p_core.errors import P2PError
from tools.comfyui.find import find_comfy


def comfy(path: Path, version: str = "0.3.64", venv: str | None = None) -> Path:
    """A folder that looks like ComfyUI from outside."""
    (path / "comfy").mkdir(parents=True)
    (path / "custom_nodes").mkdir()
    for name in ("main.py", "nodes.py"):
        (path / name).touch()
    (path / "comfyui_version.py").write_text(f'# written by the build\n__version__ = "{version}"\n')
    if venv:
        program(path / venv)
    return path


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch(mode=0o755)
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    (tmp_path / "work" / "pack").mkdir(parents=True)
    return tmp_path / "work" / "pack"


def test_nothing_is_found_on_a_bare_machine(home: Path, pack: Path) -> None:
    assert find_comfy({"HOME": str(home)}, pack) == ()


def test_a_given_path_comes_before_every_usual_place(home: Path, pack: Path, tmp_path: Path) -> None:
    comfy(home / "comfy" / "ComfyUI")
    given = comfy(tmp_path / "given", "0.9.1")
    (install,) = find_comfy({"HOME": str(home), "COMFYUI_PATH": str(given)}, pack)
    assert (install.path, install.version) == (given, "0.9.1")


def test_the_usual_places_are_searched_in_their_order(home: Path, tmp_path: Path) -> None:
    environ = {"HOME": str(home), "COMFYUI_PATH": ""}
    around = comfy(tmp_path / "around")
    pack = around / "custom_nodes" / "pack"
    pack.mkdir()
    loose = tmp_path / "loose"
    loose.mkdir()

    last = comfy(home / "ComfyUI")
    assert [install.path for install in find_comfy(environ, loose)] == [last]
    usual = comfy(home / "comfy" / "ComfyUI")
    assert [install.path for install in find_comfy(environ, loose)] == [usual]
    assert [install.path for install in find_comfy(environ, pack)] == [around]


def test_a_second_version_stands_beside_the_first(home: Path, pack: Path, tmp_path: Path) -> None:
    comfy(home / "comfy" / "ComfyUI")
    comfy(home / "comfy" / "ComfyUI-new", "0.33.0")
    environ = {"HOME": str(home)}
    assert [install.version for install in find_comfy(environ, pack)] == ["0.3.64", "0.33.0"]
    other = comfy(tmp_path / "other", "0.30.0")
    environ["COMFYUI_PATH_NEW"] = str(other)
    assert [install.version for install in find_comfy(environ, pack)] == ["0.3.64", "0.30.0"]


def test_one_install_reached_by_two_names_counts_once(home: Path, pack: Path) -> None:
    new = comfy(home / "comfy" / "ComfyUI-new")
    (home / "ComfyUI").symlink_to(new)
    assert len(find_comfy({"HOME": str(home)}, pack)) == 1


def test_a_pack_linked_into_custom_nodes_finds_its_comfy(home: Path, pack: Path, tmp_path: Path) -> None:
    around = comfy(tmp_path / "around")
    link = around / "custom_nodes" / "pack"
    link.symlink_to(pack)
    found = find_comfy({"HOME": str(home)}, link)
    from_inside = find_comfy({"HOME": str(home), "PWD": str(link)}, pack)
    assert [install.path for install in (*found, *from_inside)] == [around, around]
    assert find_comfy({"HOME": str(home), "PWD": str(around)}, pack) == ()


@pytest.mark.parametrize("name", ["COMFYUI_PATH", "COMFYUI_PATH_NEW"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_given_path_that_is_no_comfy_is_an_error(home: Path, pack: Path, name: str, exists: bool) -> None:
    comfy(home / "ComfyUI")
    wrong = pack if exists else pack / "nowhere"
    with pytest.raises(P2PError) as caught:
        find_comfy({"HOME": str(home), name: str(wrong)}, pack)
    assert name in caught.value.expected
    assert str(wrong) in caught.value.got
    assert ("not a folder" in caught.value.got) is not exists


@pytest.mark.parametrize("venv", ["venv/bin/python", ".venv/bin/python", "venv/Scripts/python.exe"])
def test_comfy_runs_under_the_environment_in_its_folder(home: Path, pack: Path, venv: str) -> None:
    path = comfy(home / "ComfyUI", venv=venv)
    (install,) = find_comfy({"HOME": str(home)}, pack)
    assert install.python == path / venv


def test_the_interpreter_keeps_the_name_of_its_environment(home: Path, pack: Path) -> None:
    """bin/python of a venv is a link; following it would leave the environment."""
    path = comfy(home / "ComfyUI")
    (path / "venv" / "bin").mkdir(parents=True)
    (path / "venv" / "bin" / "python").symlink_to(sys.executable)
    (install,) = find_comfy({"HOME": str(home)}, pack)
    assert install.python == path / "venv" / "bin" / "python"


def test_a_named_interpreter_comes_first(home: Path, pack: Path, tmp_path: Path) -> None:
    comfy(home / "ComfyUI", venv="venv/bin/python")
    named = program(tmp_path / "env" / "bin" / "python3.12")
    for value in (str(named), "python3.12"):
        environ = {"HOME": str(home), "COMFYUI_PYTHON": value, "PATH": str(named.parent)}
        assert [install.python for install in find_comfy(environ, pack)] == [named]


def test_a_named_interpreter_that_is_not_there_is_an_error(home: Path, pack: Path) -> None:
    comfy(home / "ComfyUI")
    with pytest.raises(P2PError, match="COMFYUI_PYTHON"):
        find_comfy({"HOME": str(home), "COMFYUI_PYTHON": "/no/such/python"}, pack)


def test_without_an_environment_the_shells_python_serves(home: Path, pack: Path, tmp_path: Path) -> None:
    comfy(home / "ComfyUI")
    shell = program(tmp_path / "bin" / "python3")
    (install,) = find_comfy({"HOME": str(home), "PATH": str(shell.parent)}, pack)
    assert install.python == shell
    (install,) = find_comfy({"HOME": str(home), "PATH": str(pack)}, pack)
    assert install.python == Path(sys.executable)


def test_a_comfy_that_names_no_version_is_still_one(home: Path, pack: Path) -> None:
    (comfy(home / "ComfyUI") / "comfyui_version.py").unlink()
    (install,) = find_comfy({"HOME": str(home)}, pack)
    assert install.version == "unknown"
