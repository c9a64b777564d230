"""Ports of a test session or a first run: free, in a row, and never the same to two callers."""

import socket

from deploy.local.ports import free_port, free_ports


def test_no_port_is_given_twice_before_it_is_bound():
    """By chance alone the broker's port and a role's metrics met once in a few hundred sessions, and the role could not start."""
    given = [port for count in (1, 6, 2) * 300 for port in free_ports(count)]
    assert len(given) == len(set(given)) == 2_700


def test_a_port_that_is_taken_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port() + 1))
        taken.listen()
        assert taken.getsockname()[1] not in free_ports(2)
