"""Ports: free means that a server could listen there."""

from __future__ import annotations

import socket

import pytest

from recant.errors import ConfigurationError
from recant.installation.ports import free_port, free_ports, is_free


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - another server's choice
def test_listened_port_is_not_free(address: str) -> None:
    """A port is taken when somebody listens on it, on loopback or everywhere."""
    with socket.socket() as holder:
        holder.bind((address, 0))
        holder.listen()
        taken = holder.getsockname()[1]
        assert not is_free(taken)
        assert free_port(taken) > taken
    assert is_free(taken)


def test_refused_ports_are_avoided() -> None:
    """A port that has just failed is not offered again."""
    first = free_port(30000)
    assert free_port(30000, avoid=[first]) > first


def test_no_free_port_says_what_to_do() -> None:
    """When all are taken the message names the variables that choose others."""
    with pytest.raises(ConfigurationError, match="RECANT_POSTGRES_PORT"):
        list(free_ports(30000, attempts=3, avoid=[30000, 30001, 30002]))
