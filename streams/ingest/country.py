"""The country of an address, from the user's own MMDB file: nothing is asked of the network, nothing is shipped.

Files of MaxMind, DB-IP, IPinfo and the free iptoasn one differ in where the code stands, so the three places are tried. No file is set:
no country (NULL), which is honest. A file that is set and is not there, or is no MMDB, stops ingest at its start: weeks of rows without
a country are worse than a role that says why it does not run. The reader is the C extension over a memory map (1 to 2 us a look-up); a
newer file counts from the next start.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import maxminddb

from streams.runtime.errors import BadSettings

CountryOf = Callable[[str | None], str | None]
"""Address -> ISO 3166 alpha-2, upper case; None when it is not known."""


def nowhere(_ip: str | None) -> str | None:
    """Answer without a file."""
    return None


def opened(path: Path | None) -> CountryOf:
    """Return the look-up over a file, or `nowhere` without one. BadSettings when it cannot be used."""
    if path is None:
        return nowhere
    try:
        reader = maxminddb.open_database(path)
    except (OSError, maxminddb.InvalidDatabaseError) as error:
        remedy = "Name an MMDB file with countries, or unset it: then no country is recorded."
        raise BadSettings(f"CLICKTRAIL_INGEST__GEOIP_DATABASE={path} cannot be read: {error}", remedy) from error

    def country_of(ip: str | None) -> str | None:
        try:
            return code_of(reader.get(ip)) if ip else None
        except ValueError:  # an IPv6 address and a file of IPv4 addresses
            return None

    return country_of


def code_of(found: Any) -> str | None:
    """Return the country code in a file's record, whichever of the three forms it has."""
    if not isinstance(found, dict):
        return None
    country = found.get("country")
    code = country.get("iso_code") if isinstance(country, dict) else country or found.get("country_code")
    return code.upper() if isinstance(code, str) and len(code) == 2 and code.isalpha() else None
