"""What every verb needs first: the settings, with the addresses of a `clicktrail up` that runs on this data folder.

`up --kafka-port 9192` would otherwise be known only to itself, and `clicktrail sql` would ask the wrong port. What the environment says
still wins: somebody who sets CLICKTRAIL_CLICKHOUSE__URL means it.
"""

import getpass
import os
from pathlib import Path
from typing import Any

from deploy.local import running
from streams.runtime import settings


def data_dir() -> Path:
    """Return the data folder without reading all settings: it says where to look for a running `up`."""
    return Path(os.environ.get("CLICKTRAIL_DATA_DIR") or "data")


def up_settings() -> dict[str, str]:
    """Return {environment name: value} of the `up` that runs on the data folder, empty if none does."""
    return running.settings_of(data_dir())


def user() -> str:
    """Return who works here: the author of a change unless another one is named."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        return "clicktrail"


def load(**overrides: Any) -> settings.Settings:
    """Return the settings as `clicktrail` sees them."""
    return settings.load(up_settings(), **overrides)
