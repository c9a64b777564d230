"""The country of an address, from files of the three forms that are around, and the errors of a file that is none (C05)."""

import mmdb_writer
import netaddr
import pytest

from streams.ingest import country
from streams.runtime.errors import BadSettings

FORMS = {
    "maxmind": {"country": {"iso_code": "DE", "names": {"en": "Germany"}}, "continent": {"code": "EU"}},
    "ipinfo": {"country": "DE", "country_name": "Germany"},
    "iptoasn": {"country_code": "de"},
}


def written(path, record, ip_version=6):
    """An MMDB file in which 203.0.113.0/24 and 2001:db8::/32 are in Germany, and 198.51.100.0/24 has another kind of record."""
    writer = mmdb_writer.MMDBWriter(ip_version, ipv4_compatible=ip_version == 6)
    writer.insert_network(netaddr.IPSet(["203.0.113.0/24", *(["2001:db8::/32"] if ip_version == 6 else [])]), record)
    writer.insert_network(netaddr.IPSet(["198.51.100.0/24"]), {"asn": 64500})
    writer.to_db_file(str(path))
    return path


@pytest.mark.parametrize("form", FORMS)
def test_the_code_is_found_in_every_form(tmp_path, form):
    country_of = country.opened(written(tmp_path / "geo.mmdb", FORMS[form]))
    asked = ("203.0.113.7", "2001:db8::17", "198.51.100.1", "127.0.0.1", None)
    assert [country_of(ip) for ip in asked] == ["DE", "DE", None, None, None]


def test_an_address_of_the_other_version_has_no_country(tmp_path):
    country_of = country.opened(written(tmp_path / "geo.mmdb", FORMS["ipinfo"], ip_version=4))
    assert [country_of("203.0.113.7"), country_of("2001:db8::17")] == ["DE", None]


def test_without_a_file_there_is_no_country():
    assert country.opened(None)("203.0.113.7") is None


@pytest.mark.parametrize("content", [None, b"no database"], ids=["absent", "something else"])
def test_a_wrong_file_is_an_error_that_says_which(tmp_path, content):
    path = tmp_path / "geo.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSettings, match=r"CLICKTRAIL_INGEST__GEOIP_DATABASE=.*geo\.mmdb") as caught:
        country.opened(path)
    assert "MMDB" in caught.value.remedy


@pytest.mark.parametrize(
    "found", [None, "DE", 7, {}, {"country": None}, {"country": "Germany"}, {"country": {"iso_code": 4}}, {"country_code": "D1"}]
)
def test_whatever_else_a_file_says_is_no_code(found):
    assert country.code_of(found) is None
