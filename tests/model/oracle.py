"""The rules once more, written apart from the stages: one loop over the payloads in log order, with all clicks (in theirs) known.

What the pipeline ends at, whatever order things arrived in, must equal this. It shares no code with the stages and knows nothing of
chunks, partitions, answers or revisions.
"""

DAY = 86_400_000


def bound(clicks):
    """Records of visits in log order -> clicks: the first of a click id is the click, what later ones collect is found by it."""
    found = {}
    for c in clicks:
        click = found.setdefault(c["id"], {**c, "email": set(), "phone": set(), "ip": set()})
        click["email"] |= c["email"]
        click["phone"] |= c["phone"]
        click["ip"] |= c["ip"]
    return list(found.values())


def find_click(payload, clicks, policy):
    """(click id, how) or (None, why-kind) by click id; else (or behind it, where the property falls back) e-mail, phone; else IP."""
    fits = [c for c in clicks if c["property"] == payload["property"] and 0 <= payload["time"] - c["time"] <= policy["window"]]
    best = min if policy["model"] == "first_click" else max
    kinds = [kind for kind in ("email", "phone") if payload.get(kind)]
    if payload.get("cid"):
        mine = [c for c in clicks if c["id"] == payload["cid"]]
        if mine and mine[0] in fits:
            return payload["cid"], "click_id"
        kinds = kinds if policy["fallback"] else []
    elif not kinds and policy["ip"] and payload.get("ip"):
        kinds = ["ip"]
    for kind in kinds:
        found = [c for c in fits if payload[kind] in c.get(kind, ())]
        if found:
            return best(found, key=lambda c: (c["time"], c["id"]))["id"], kind
    if payload.get("cid"):
        return None, "unknown_click_id"
    return None, "no_click_id" if not kinds else "no_ip_match" if kinds == ["ip"] else "cant_find_refid"


def judge(payloads, clicks, sources, policies):
    """Payloads of all homes in log order -> [(status, reason, click id, index of the original or parent, value)].

    `sources`: source -> (dedup mode, dedup window in ms or None); `policies`: property -> window and soonest time after a click in ms, model,
    fallback, IP matching; a payload's `u` is when it was received.
    """
    rows = [None] * len(payloads)
    clicks = bound(clicks)
    first = {}  # identity -> index of the recorded conversion whose window is the latest
    recorded = []
    for at, p in enumerate(payloads):
        rows[at] = first_look(p, at, payloads, clicks, policies[p["property"]], first, sources)
        if rows[at] and rows[at][0] == "ok":
            recorded.append(at)
    for at, p in enumerate(payloads):
        if rows[at] is None:
            parents = [j for j in recorded if place(payloads[j], sources) == place(p, sources)]
            before = [j for j in parents if j < at]
            same = [j for j in before if payloads[j]["name"] == p["name"]]
            parent = (same or before or parents or [None])[0]
            orphan = ("discarded", "test_data", p.get("cid"), None) if p["test"] else ("error", "cant_find_event", p.get("cid"), None)
            rows[at] = orphan if parent is None else ("discarded", "wrong_status", rows[parent][2], parent)
    return [(*row, worth(at, payloads, rows, sources)) for at, row in enumerate(rows)]


def place(p, sources):
    """What must be the same for two payloads to be about the same sale."""
    return p["property"], customer(p, sources), p["tx"], p["test"]


def customer(p, sources):
    """The customer of a source that records one referral of each."""
    return p["email"] if sources[p["source"]][0] == "refer" else None


def first_look(p, at, payloads, clicks, policy, first, sources):
    if p["status"] == "refunded" and not (p["test"] and not has_id(p)):
        return None  # judged beside its parent, when all parents are known
    click, how = find_click(p, clicks, policy)
    if p["test"] and not (click and has_id(p)):  # an address alone is no tracking parameter
        return ("discarded", "test_data", p.get("cid"), None)
    if p["status"] == "pending":
        return ("discarded", "wrong_status", click if p["test"] else p.get("cid"), None)
    if p["name"] == "AddToCart":
        return ("discarded", "filtered_event", click if p["test"] else p.get("cid"), None)
    identity = at if sources[p["source"]][0] == "create" else (*place(p, sources), p["name"])
    original = first.get(identity)
    if original is not None:
        span = sources[payloads[original]["source"]][1]
        if span is None or p["u"] - payloads[original]["u"] <= span:
            return ("deduplicated", "duplicate", p.get("cid"), original)
    referral = customer(p, sources) and (p["property"], customer(p, sources), p["name"], p["test"])
    if referral in first:
        return ("discarded", "fraud_rule", p.get("cid"), first[referral])
    if click is None:
        return ("error", how, p.get("cid"), None)
    if p["time"] - next(c["time"] for c in clicks if c["id"] == click) < policy["least"]:
        return ("discarded", "fraud_rule", click, None)
    if sources[p["source"]][0] == "refer" and p["email"] and p["email"] == next(c["owner"] for c in clicks if c["id"] == click):
        return ("discarded", "fraud_rule", click, None)
    first[identity] = at
    if referral:
        first[referral] = at
    return ("ok", "recorded", click, None)


def worth(at, payloads, rows, sources):
    """The value of a row: its own, but a recorded conversion's is changed by its duplicates as its source says, retries left out."""
    own = payloads[at]
    mode = sources[own["source"]][0]
    if rows[at][0] != "ok" or mode not in ("add_value", "edit"):
        return own["value"]
    said = lambda p: {name: value for name, value in p.items() if name != "u"}  # noqa: E731
    value, seen = own["value"], [said(own)]
    for p, row in zip(payloads, rows, strict=True):
        if row[0] == "deduplicated" and row[3] == at and p["source"] == own["source"] and said(p) not in seen:
            seen.append(said(p))
            value = value + p["value"] if mode == "add_value" else p["value"]
    return value


def has_id(p):
    return bool(p.get("cid") or p.get("email") or p.get("phone"))
