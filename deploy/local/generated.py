"""Traffic as a small advertiser sees it, from a seed: clicks, and what their networks, shops and servers report about them.

Shares are those of the trade: most payloads are good or simply pending, one in ten comes twice, a few are misconfigured. The same seed
makes the same traffic (ids carry the seed), so a run can be repeated; a repeated run is all duplicates, which is also worth seeing.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator

from deploy.local.traffic import Request, postback, tag, webhook

CAMPAIGNS = ("spring-social", "spring-social", "spring-mail")
PAGES = ("", "spring", "pricing", "blog/how-it-works")


class Generator:
    """Makes one request after another; remembers what it sent, to report it again or take it back."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - traffic, not secrets
        self._seed = seed
        self._count = 0
        self._clicks: deque[str] = deque(maxlen=2_000)
        self._people: deque[str] = deque(maxlen=500)
        self._sent: deque[Request] = deque(maxlen=500)
        self._orders: deque[str] = deque(maxlen=500)
        self._kinds = (
            (40, self._click), (6, self._identify), (26, self._network), (12, self._order), (6, self._lead), (5, self._again),
            (2, self._refund), (2, self._broken),
        )  # fmt: skip

    def __iter__(self) -> Iterator[Request]:
        makers, weights = [maker for _, maker in self._kinds], [weight for weight, _ in self._kinds]
        while True:
            self._count += 1
            yield self._random.choices(makers, weights)[0]()

    def _new(self, prefix: str) -> str:
        return f"{prefix}-{self._seed}-{self._count}"

    def _known_click(self) -> str:
        return self._random.choice(self._clicks) if self._clicks else "gen-nothing"

    def _money(self) -> str:
        return f"{self._random.lognormvariate(3.4, 0.7):.2f}"

    def _click(self) -> Request:
        click_id = self._new("g")
        self._clicks.append(click_id)
        page = self._random.choice(PAGES)
        return tag("shop", kind="click", click_id=click_id, campaign_id=self._random.choice(CAMPAIGNS), url=f"https://shop.example/{page}")

    def _identify(self) -> Request:
        email = f"{self._new('person')}@customers.example"
        self._people.append(email)
        return tag("shop", kind="identify", click_id=self._known_click(), email=email)

    def _network(self) -> Request:
        """A network's postback: approved, pending or rejected; now and then without its click id or with a wrong one."""
        status = self._random.choices(("approved", "pending", "rejected", "hold"), (70, 18, 9, 3))[0]
        click = self._random.choices((self._known_click(), "", "{clickid}", self._new("lost")), (90, 4, 2, 4))[0]
        request = postback("network", sub5=click, txid=self._new("n"), payout=self._money(), status=status)
        self._sent.append(request)
        return request

    def _order(self) -> Request:
        order = self._new("w")
        self._orders.append(order)
        known = self._people and self._random.random() < 0.85
        email = self._random.choice(self._people) if known else f"{self._new('stranger')}@customers.example"
        status = self._random.choices(("paid", "authorized"), (85, 15))[0]
        request = webhook("webshop", id=order, financial_status=status, total_price=self._money(), currency="EUR", email=email)
        self._sent.append(request)
        return request

    def _lead(self) -> Request:
        event = self._random.choices(("Lead", "Purchase", "PageView"), (60, 25, 15))[0]
        more = {"test": True} if self._random.random() < 0.1 else {"click_id": self._known_click()}
        request = webhook("api", event=event, order_id=self._new("a"), value=0 if event == "Lead" else self._money(), **more)
        self._sent.append(request)
        return request

    def _again(self) -> Request:
        return self._random.choice(self._sent) if self._sent else self._network()

    def _refund(self) -> Request:
        order = self._random.choice(self._orders) if self._orders else self._new("w")
        return webhook("webshop", id=order, financial_status="refunded", total_price=self._money(), currency="EUR")

    def _broken(self) -> Request:
        return self._random.choice(
            (
                Request("POST", "/in/webshop", b'{"id": "cut off', "application/json"),
                postback("network", sub5=self._known_click(), txid=self._new("n"), payout="9", status="approved", property_id="nowhere"),
                webhook("script", event="Signup", order_id=self._new("s"), value=1, ip="203.0.113.9"),
            )
        )


async def paced(rate: float, seed: int, seconds: float) -> AsyncIterator[Request]:
    """Yield requests at a steady rate; 0 seconds means for ever. What is late is caught up, so the count is right."""
    began = time.monotonic()
    for number, request in enumerate(Generator(seed)):
        if seconds and number >= rate * seconds:
            return
        wait_s = began + number / rate - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        yield request
