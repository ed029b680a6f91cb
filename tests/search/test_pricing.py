from __future__ import annotations

import pytest
from tests.search.nets import net

from marram.compile import device
from marram.core.contract import TargetSection
from marram.search.pricing import LEAST_SHARE, Device, constants_share, excess, price


def on(bits=(8,), **budget) -> Device:
    section = TargetSection(device="cortex-m4", **budget)
    return Device(name="t", target=device("cortex-m4"), section=section, in_c=True, weight_bits=bits)


def test_prices_have_the_names_of_evidence_and_budgets_are_held_against_them():
    prices = price(net(), on())
    assert {"instructions", "ram_bytes", "flash_bytes", "latency_p90_us", "energy_uj", "macs"} <= set(prices)
    flash_kib = prices["flash_bytes"] / 1024
    assert excess(prices, on(flash_kib=flash_kib + 0.01)) == {}
    assert excess(prices, on(flash_kib=flash_kib / 2)) == {"flash_kib": pytest.approx(1.0)}
    assert set(excess(prices, on(flash_kib=1, ram_kib=0.1, latency_ms=1e-4))) == {"flash_kib", "ram_kib", "latency_ms"}


def test_fewer_bits_make_room_in_flash_where_they_are_allowed():
    prices = price(net(), on())
    saved = (1 - LEAST_SHARE[4]) * prices["constant_bytes"]
    tight = (prices["flash_bytes"] - 0.5 * saved) / 1024
    assert "flash_kib" in excess(prices, on(flash_kib=tight))
    assert excess(prices, on((8, 4), flash_kib=tight)) == {}
    share = constants_share(prices, on((8, 4), flash_kib=tight))
    assert share is not None
    assert LEAST_SHARE[4] <= share < 1
    code = prices["flash_bytes"] - prices["constant_bytes"]
    assert code + share * prices["constant_bytes"] <= tight * 1024
    assert constants_share(prices, on(flash_kib=tight)) is None
    assert constants_share(prices, on((8, 4), flash_kib=2 * tight)) is None


def test_elsewhere_only_what_is_counted_is_known():
    host = Device(name="h", target=device("host"), section=TargetSection(device="host", size_kib=1.0), in_c=False)
    prices = price(net(), host)
    assert set(prices) == {"macs", "weight_bytes"}
    assert set(excess(prices, host)) == {"size_kib"}
