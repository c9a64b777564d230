"""The rules once more, written apart from the stages: one loop over the payloads in log order, with all clicks (in theirs) known.

What the pipeline ends at, whatever order things arrived in, must equal this. It shares no code with the stages and knows nothing of
chunks, partitions, answers or revisions.
"""

DAY = 86_400_000


def bound(clicks):
    """Records of visits in log order -> clicks: the first of a click id is the click, what later ones collect is found by it."""
    found = {}
    for c in clicks:
        click = found.setdefault(c["id"], {**c, "email": set(), "phone": set()})
        click["email"] |= c["email"]
        click["phone"] |= c["phone"]
    return list(found.values())


def find_click(payload, clicks, window):
    """(click id, how) or (None, why-kind) by click id, else e-mail, else phone."""
    fits = [c for c in clicks if c["property"] == payload["property"] and 0 <= payload["time"] - c["time"] <= window]
    if payload.get("cid"):
        mine = [c for c in clicks if c["id"] == payload["cid"]]
        return (payload["cid"], "click_id") if mine and mine[0] in fits else (None, "unknown_click_id")
    for kind in ("email", "phone"):
        if payload.get(kind):
            found = [c for c in fits if payload[kind] in c.get(kind, ())]
            if found:
                return max(found, key=lambda c: (c["time"], c["id"]))["id"], kind
    if payload.get("email") or payload.get("phone"):
        return None, "cant_find_refid"
    return None, "no_click_id"


def judge(payloads, clicks, window=30 * DAY):
    """Payloads of all homes in log order -> [(status, reason, click id, index of the original or parent)]."""
    rows = [None] * len(payloads)
    clicks = bound(clicks)
    recorded = {}
    for at, p in enumerate(payloads):
        rows[at] = first_look(p, at, clicks, window, recorded)
    for at, p in enumerate(payloads):
        if rows[at] is None:
            parents = [j for (prop, tx, _, test), j in sorted(recorded.items(), key=lambda kv: kv[1])
                       if (prop, tx, test) == (p["property"], p["tx"], p["test"])]  # fmt: skip
            before = [j for j in parents if j < at]
            same = [j for j in before if payloads[j]["name"] == p["name"]]
            parent = (same or before or parents or [None])[0]
            orphan = ("discarded", "test_data", p.get("cid"), None) if p["test"] else ("error", "cant_find_event", p.get("cid"), None)
            rows[at] = orphan if parent is None else ("discarded", "wrong_status", rows[parent][2], parent)
    return rows


def first_look(p, at, clicks, window, recorded):
    if p["status"] == "refunded" and not (p["test"] and not has_id(p)):
        return None  # judged beside its parent, when all parents are known
    click, how = find_click(p, clicks, window)
    if p["test"] and not click:
        return ("discarded", "test_data", p.get("cid"), None)
    if p["status"] == "pending":
        return ("discarded", "wrong_status", click if p["test"] else p.get("cid"), None)
    if p["name"] == "AddToCart":
        return ("discarded", "filtered_event", click if p["test"] else p.get("cid"), None)
    identity = (p["property"], p["tx"], p["name"], p["test"])
    if identity in recorded:
        return ("deduplicated", "duplicate", p.get("cid"), recorded[identity])
    if click is None:
        return ("error", how, p.get("cid"), None)
    recorded[identity] = at
    return ("ok", "recorded", click, None)


def has_id(p):
    return bool(p.get("cid") or p.get("email") or p.get("phone"))
