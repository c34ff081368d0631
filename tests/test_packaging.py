"""What is released: the archives, their version, and the README's quickstart on a machine that has nothing yet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import pytest

from django_support_tickets import __version__
from tests.snippets import README, settings_of, snippets

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "django_support_tickets"


class TestVersion:
    def test_it_is_written_in_one_place(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        assert project["project"]["dynamic"] == ["version"]
        assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "django_support_tickets.__version__"}
        assert version("django-support-tickets") == __version__

    def test_the_changelog_knows_it(self) -> None:
        headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
        assert headings[0] == __version__


def files_of_the_package() -> Iterator[str]:
    """Yield what must be shipped: every file that git tracks in the package, and the compiled languages."""
    listed = subprocess.run(
        ["git", "ls-files", "django_support_tickets"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    yield from listed.stdout.splitlines()


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and the sdist, built as for a release."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def wheel(archives: Path) -> Path:
    (path,) = archives.glob("*.whl")
    return path


@pytest.mark.index
class TestArchives:
    def test_the_wheel_holds_the_package_and_nothing_else(self, wheel: Path) -> None:
        names = set(zipfile.ZipFile(wheel).namelist())
        assert set(files_of_the_package()) <= names
        tops = {PurePosixPath(name).parts[0] for name in names}
        assert tops == {"django_support_tickets", f"django_support_tickets-{__version__}.dist-info"}

    def test_templates_static_files_languages_and_the_type_marker_are_in_both(
        self, archives: Path, wheel: Path
    ) -> None:
        (sdist,) = archives.glob("*.tar.gz")
        top = f"django_support_tickets-{__version__}/"
        with tarfile.open(sdist) as archive:
            packed = {name.removeprefix(top) for name in archive.getnames()}
        for names in (packed, set(zipfile.ZipFile(wheel).namelist())):
            assert "django_support_tickets/py.typed" in names
            for folder, ending in (("templates", ".html"), ("static", ".css"), ("locale", ".mo"), ("locale", ".po")):
                there = [name for name in names if name.startswith(f"django_support_tickets/{folder}/")]
                assert any(name.endswith(ending) for name in there), f"{folder} without {ending}"
        assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "SECURITY.md"} <= packed
        assert set(files_of_the_package()) <= packed

    def test_an_index_would_take_them(self, archives: Path) -> None:
        command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, archives.iterdir())]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout

    def test_the_metadata_say_what_it_is(self, wheel: Path) -> None:
        name = f"django_support_tickets-{__version__}.dist-info/METADATA"
        metadata = Parser().parsestr(zipfile.ZipFile(wheel).read(name).decode())
        assert metadata["Version"] == __version__
        assert metadata["License-Expression"] == "MIT"
        assert metadata["Description-Content-Type"] == "text/markdown"
        required = {
            re.split(r"[^\w-]", text)[0] for text in metadata.get_all("Requires-Dist", []) if "extra" not in text
        }
        assert required == {"Django", "djangorestframework", "django-filter", "requests", "urllib3"}


class Site:
    """A new Django project in a new virtual environment that holds the wheel and what it requires."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        venv.create(folder / "venv", with_pip=True)
        self.run("-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel))
        self.run("-m", "django", "startproject", "shop", ".")

    def run(self, *arguments: str, text: str | None = None) -> str:
        inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        inherited.pop("DJANGO_SETTINGS_MODULE", None)
        command = [str(self.python), *arguments]
        done = subprocess.run(command, cwd=self.folder, env=inherited, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.mark.index
def test_the_quickstart_works_from_the_wheel_alone(tmp_path: Path, wheel: Path) -> None:
    site = Site(tmp_path, wheel)
    assert str(tmp_path) in site.run("-c", "import django_support_tickets as app; print(app.__file__)")
    code = snippets(README)
    with (tmp_path / "shop" / "settings.py").open("a") as file:
        file.write(settings_of(code))
    with (tmp_path / "shop" / "urls.py").open("a") as file:
        file.write(next(text for text in code if "# urls.py" in text))
    site.run("manage.py", "migrate", "--verbosity", "0")
    assert "no issues" in site.run("manage.py", "check")
    site.run("manage.py", "shell", text=next(text for text in code if "Ticket.objects.create(" in text))
    assert "1 sent" in site.run("manage.py", "sync_tickets")
    site.run("manage.py", "support_tickets_doctor")
