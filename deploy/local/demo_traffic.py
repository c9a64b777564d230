"""The demo's payloads: every status and every reason once, in the order in which they make sense, with the verdict that each must get.

The expected verdicts stand beside the payloads because the integration test reads the same table: what a newcomer sees is what is tested.
Times are relative to now: clicks happened some minutes ago, so that the fraud rule sees people and not robots.
"""

import time
from typing import NamedTuple

from deploy.local.traffic import Request, postback, tag, webhook

MINUTE_MS = 60_000
DAY_MS = 86_400_000


class Step(NamedTuple):
    """One payload and its final verdict: (status, reason, match kind or sub-reason, revision)."""

    doc: str
    request: Request
    status: str
    reason: str
    detail: str = ""
    revision: int = 1


def clicks(now_ms: int) -> list[Request]:
    """What the tag saw before: clicks, and visitors who left an e-mail or a phone number."""
    ago = now_ms - 12 * MINUTE_MS

    def click(click_id: str, property_id: str = "shop", at_ms: int = ago, **more: object) -> Request:
        url = f"https://{property_id}.example/spring?utm_source=social&adclid=ad-{click_id}"
        return tag(property_id, kind="click", click_id=click_id, occurred_ms=at_ms, campaign_id="spring-social", url=url, **more)

    return [
        click("demo-ann"), click("demo-bob"), click("demo-cyd"), click("demo-tess"), click("demo-member"), click("demo-dan"),
        click("demo-blog", property_id="blog"),
        click("demo-old", at_ms=now_ms - 20 * DAY_MS),
        click("demo-fast", at_ms=now_ms),
        tag("shop", kind="identify", click_id="demo-bob", email="bob@customers.example", occurred_ms=ago + MINUTE_MS),
        tag("shop", kind="identify", click_id="demo-cyd", phone="+1 202 555 0143", occurred_ms=ago + MINUTE_MS),
    ]  # fmt: skip


def steps() -> list[Step]:
    """The payloads, in order."""
    order = {"id": "W-1001", "financial_status": "paid", "total_price": "79.00", "currency": "EUR", "email": "Bob@Customers.example"}
    approved = {"payout": "49.90", "status": "approved"}
    return [
        Step("click id found", postback("network", sub5="demo-ann", txid="N-1", **approved), "ok", "recorded", "click_id"),
        Step("the network fires twice", postback("network", sub5="demo-ann", txid="N-1", **approved), "deduplicated", "duplicate", "same_transaction"),
        Step("e-mail found", webhook("webshop", **order), "ok", "recorded", "email"),
        Step("webhook sent again after a timeout", webhook("webshop", **order), "deduplicated", "duplicate", "same_transaction"),
        Step("another source reports the same order", webhook("api", event="Purchase", order_id="W-1001", value=79, currency="EUR", email="bob@customers.example"), "deduplicated", "duplicate", "same_transaction"),
        Step("phone found", webhook("api", event="Lead", order_id="L-7", value=0, phone="+12025550143"), "ok", "recorded", "phone"),
        Step("IP address found", webhook("script", event="Signup", order_id="S-1", value=5, ip="127.0.0.1"), "ok", "recorded", "ip"),
        Step("a test with a real click", webhook("api", event="Purchase", order_id="T-2", value=1, test=True, click_id="demo-tess"), "ok", "recorded", "click_id"),
        Step("a member's link", webhook("referral", member="demo-member", order_id="R-1", value=10), "ok", "recorded", "click_id"),
        Step("pending is not a sale yet", postback("network", sub5="demo-ann", txid="N-2", payout="20", status="pending"), "discarded", "wrong_status", "not_approved"),
        Step("rejected", postback("network", sub5="demo-ann", txid="N-3", payout="20", status="rejected"), "discarded", "wrong_status", "not_approved"),
        Step("a word that nobody knows", postback("network", sub5="demo-ann", txid="N-4", payout="20", status="frozen"), "discarded", "wrong_status", "unknown_word"),
        Step("refund of the order above", webhook("webshop", **(order | {"financial_status": "refunded"})), "discarded", "wrong_status", "taken_back"),
        Step("an event type that is not mapped", webhook("api", event="PageView", order_id="P-1", click_id="demo-ann"), "discarded", "filtered_event"),
        Step("a test without a click", webhook("api", event="Purchase", order_id="T-1", value=1, test=True), "discarded", "test_data"),
        Step("no member's link", webhook("referral", member="demo-nobody", order_id="R-2", value=10), "discarded", "invalid_member_link", "never_seen"),
        Step("too soon after its click", webhook("coupon", click_id="demo-fast", order_id="C-1", value=3), "discarded", "fraud_rule", "too_soon"),
        Step("an e-mail that was never seen", webhook("webshop", **(order | {"id": "W-1002", "email": "nobody@customers.example"})), "error", "cant_find_refid", "never_seen"),
        Step("no click id", postback("network", txid="N-5", **approved), "error", "no_click_id"),
        Step("the macro came back", postback("network", sub5="--CLICK-ID--", txid="N-6", **approved), "error", "no_click_id", "macro_unexpanded"),
        Step("an unknown click id", postback("network", sub5="demo-typo", txid="N-7", **approved), "error", "unknown_click_id", "never_seen"),
        Step("a click of the other site", postback("network", sub5="demo-blog", txid="N-8", **approved), "error", "unknown_click_id", "other_property"),
        Step("a click of 20 days ago, the window is 14", postback("network", sub5="demo-old", txid="N-9", **approved), "error", "unknown_click_id", "window_expired"),
        Step("refund of nothing", postback("network", sub5="demo-ann", txid="N-10", payout="20", status="refunded"), "error", "cant_find_event", "parent_missing"),
        Step("a property of somebody else", postback("network", sub5="demo-ann", txid="N-11", property_id="blog", **approved), "error", "unauthorized_asset"),
        Step("an IP address without a visit", webhook("script", event="Signup", order_id="S-2", value=5, ip="203.0.113.77"), "error", "no_ip_match", "never_seen"),
        Step("half a payload", Request("POST", "/in/webshop", b'{"id": "W-1003", "total_pr', "application/json"), "error", "unreadable_payload"),
        Step("its click comes later and heals it", postback("network", sub5="demo-late", txid="N-12", **approved), "ok", "recorded", "click_id", 2),
    ]  # fmt: skip


def late_click(now_ms: int) -> Request:
    """The click that the last conversion waits for."""
    return tag(
        "shop", kind="click", click_id="demo-late", occurred_ms=now_ms - MINUTE_MS, campaign_id="spring-mail", url="https://shop.example/"
    )


def now_ms() -> int:
    """The time that the demo's times are relative to."""
    return int(time.time() * 1000)
