"""Folders that the settings name, made when they are first needed, or an error that says which and why.

A folder that is a file, is not ours to write, or lies on a full or read-only disk is a setting to correct, not a traceback.
"""

from pathlib import Path

from streams.runtime.errors import BadSettings


def made(path: Path, setting: str = "CLICKTRAIL_DATA_DIR") -> Path:
    """Return the folder, which exists. BadSettings names the setting that it comes from."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(path, error, setting) from error
    return path


def unusable(path: Path, error: OSError, setting: str = "CLICKTRAIL_DATA_DIR") -> BadSettings:
    """Return the error for a folder that cannot be used."""
    return BadSettings(f"The folder {path} cannot be used: {error.strerror or error}.", f"Set {setting} to a folder that you may write to.")
