"""For PyInstaller: a frozen program has the schemas, and the modules that are imported when they are first used."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules


def is_wanted(name: str) -> bool:
    """Return whether a module belongs into a frozen program: the plugin of pytest does not."""
    return not name.startswith(("ocppj._pyinstaller", "ocppj.testing.plugin"))


datas = collect_data_files("ocppj")
hiddenimports = collect_submodules("ocppj", filter=is_wanted)
