"""For PyInstaller: a frozen program has the schemas, and the modules that are imported when they are first asked for."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

datas = collect_data_files("ocppj")
hiddenimports = collect_submodules("ocppj", filter=lambda name: not name.startswith(("ocppj._pyinstaller", "ocppj.testing.plugin")))
