"""Makes tiny wheels. A copy of this file is also the build backend of the tests' own source projects."""

import base64
import hashlib
import os
import pathlib
import zipfile


def write_wheel(folder, name, version, requires=(), source=None):
    """Write a wheel with one module ``name``, which prints itself when run, and a script of that name."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    source = f"def main():\n    print('{name} {version}')\n" if source is None else source
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {item}\n" for item in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    return _zip(folder / f"{name}-{version}-py3-none-any.whl", files, info)


def _zip(path, files, info):
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text.encode())}\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return path


# --- the build backend


def _project():
    about = dict(line.split("=", 1) for line in pathlib.Path("about.txt").read_text().splitlines())
    return about["name"], about["version"], [item for item in about.get("requires", "").split(";") if item]


def _block(stage):
    # The test that asked for it is told, through a pipe, that this stage is reached, and by whom; then
    # nothing happens until somebody ends this process.
    if os.environ.get("TEST_BLOCK") == stage:
        with pathlib.Path(os.environ["TEST_PIPE"]).open("w") as stream:
            stream.write(str(os.getpid()))
        import signal

        signal.pause()


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(folder, config_settings=None):
    _block("resolving")
    name, version, requires = _project()
    info = pathlib.Path(folder, f"{name}-{version}.dist-info")
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(metadata + "".join(f"Requires-Dist: {item}\n" for item in requires))
    return info.name


def build_wheel(folder, config_settings=None, metadata_folder=None):
    _block("installing")
    if pathlib.Path("broken").exists():
        raise SystemExit("the compiler said: no")
    name, version, requires = _project()
    return write_wheel(folder, name, version, requires, pathlib.Path(f"{name}.py").read_text()).name


get_requires_for_build_editable = get_requires_for_build_wheel
prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel


def build_editable(folder, config_settings=None, metadata_folder=None):
    name, version, requires = _project()
    wheel = pathlib.Path(write_wheel(folder, name, version, requires, ""))
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.pth": f"{pathlib.Path.cwd()}\n",
        f"{info}/METADATA": metadata + "".join(f"Requires-Dist: {item}\n" for item in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    return _zip(wheel, files, info).name
