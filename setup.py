"""Everything is in setup.cfg, but what a source distribution has beside the package."""

from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
#: With these, a source distribution can run its own tests, and make its site.
BESIDE = (
    "CHANGELOG.md", "Makefile", ".ruff.toml", ".gitignore", ".ci", ".github", "benchmarks", "docs", "examples", "tests",
    "tools",
)  # fmt: skip
NOT_KEPT = ("__pycache__", "node_modules", "_build")


class SourceDistribution(sdist):
    """Has all files of a checkout."""

    def make_distribution(self) -> None:
        """Add them, and make it."""
        for name in BESIDE:
            path = HERE / name
            files = [path] if path.is_file() else sorted(path.rglob("*"))
            self.filelist.extend(str(file.relative_to(HERE)) for file in files if self._is_kept(file))
        super().make_distribution()

    @staticmethod
    def _is_kept(file: Path) -> bool:
        return file.is_file() and file.suffix != ".pyc" and not set(file.parts) & set(NOT_KEPT)


setup(cmdclass={"sdist": SourceDistribution})
