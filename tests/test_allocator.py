import ctypes
import platform

import pytest

from scratchformer.training import keep_freed_memory


def test_it_does_nothing_where_the_c_library_is_not_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str | None) -> None:
        raise AssertionError("no C library may be opened")

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", refuse)
    keep_freed_memory()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_glibc_accepts_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    accepted = {}
    mallopt = ctypes.CDLL(None).mallopt

    class Library:
        def mallopt(self, setting: int, value: int) -> int:
            accepted[setting] = mallopt(setting, value)
            return accepted[setting]

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    keep_freed_memory()
    assert accepted == {-1: 1, -3: 1, -8: 1}
