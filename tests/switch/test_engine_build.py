"""Compiling: the cache, the generated file that is kept, and what is said when it does not work."""

from pathlib import Path

import pytest

from switch.build import build
from switch.engine import BuildError, Engine
from tests.switch.engines import PROGRAMS, config_of

GOOD = "int one(void) { return 1; }\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "good.c"
    path.write_text(GOOD)
    return path


def test_compiled_once(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = build("good", [source], cache=cache)
    before = first.stat().st_mtime_ns
    assert build("good", [source], cache=cache) == first
    assert first.stat().st_mtime_ns == before
    source.write_text("int two(void) { return 2; }\n")
    assert build("good", [source], cache=cache) != first


def test_generated_only_when_needed_and_kept(source: Path, tmp_path: Path) -> None:
    asked = []

    def generate() -> str:
        asked.append(1)
        return "int generated(void) { return 3; }\n"

    for _ in range(2):
        made = build("both", [source], generate=generate, inputs=[b"1"], cache=tmp_path / "cache")
    assert made.with_suffix(".c").read_text() == generate()
    assert len(asked) == 2, "once to compile, once here"
    build("both", [source], generate=generate, inputs=[b"2"], cache=tmp_path / "cache")
    assert len(asked) == 3


def test_what_generated_files_share_is_compiled_once(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for number in (b"1", b"2"):
        build("both", [source], generate=GOOD.replace("one", "two").__str__, inputs=[number], cache=cache)
    assert [path.suffix for path in sorted(cache.iterdir())] == [".c", ".so", ".c", ".so", ".o"]
    source.write_text("int three(void) { return 3; }\n")
    build("both", [source], generate=GOOD.replace("one", "two").__str__, inputs=[b"2"], cache=cache)
    assert len([*cache.glob("good-*.o")]) == 2


def test_no_compiler(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"no C compiler .* apt-get install gcc"):
        build("good", [source], cache=tmp_path / "cache")


def test_a_compiler_that_is_not_there(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-cc -m64")
    with pytest.raises(BuildError, match="'no-such-cc', which CC names"):
        build("good", [source], cache=tmp_path / "cache")


def test_what_does_not_compile(tmp_path: Path) -> None:
    bad = tmp_path / "bad.c"
    bad.write_text("int bad(void) { return nothing; }\n")
    with pytest.raises(BuildError) as caught:
        build("bad", [bad], cache=tmp_path / "cache")
    assert str(bad) in str(caught.value)
    assert "nothing" in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == [], "nothing half made stays"


def test_a_cache_that_cannot_be(source: Path) -> None:
    with pytest.raises(BuildError, match="cannot write to the cache"):
        build("good", [source], cache=Path("/proc/nowhere"))


@pytest.fixture(scope="module")
def strict_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of what was compiled without a warning."""
    return tmp_path_factory.mktemp("strict")


@pytest.mark.parametrize("name", sorted(path.stem for path in PROGRAMS.glob("*.p4")))
def test_generated_c_has_no_warnings(name: str, strict_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "cc -Wall -Wextra -Werror")
    Engine.load(config_of(name), cache=strict_cache).close()


def test_generated_c_names_the_p4_lines(tmp_path: Path) -> None:
    engine = Engine.load(config_of("tables"), cache=tmp_path)
    text = engine.path.with_suffix(".c").read_text()
    assert "tables.p4:" in text
    assert "mark_to_drop(sm)" in text
    engine.close()
