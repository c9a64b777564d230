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
    fallback, IP matching; a payload's `u` is when it was received, its `ref` the order that it names beside its own transaction id.
    """
    rows = {}
    clicks = bound(clicks)
    homes = {}
    for at, p in enumerate(payloads):
        homes.setdefault(home(p, sources), {})[at] = p
    for members in homes.values():
        found = in_log_order(members, clicks, sources, policies, None)
        adopter = next((at for at, row in found.items() if row and row[0] == "ok" and is_parent(members[at], policies)), None)
        if ORPHAN in found.values() and adopter is not None:
            found = in_log_order(members, clicks, sources, policies, adopter)
        for at, p in members.items():
            rows[at] = found[at] or taken_back(at, p, members, found, sources)
    return [(*rows[at], worth(at, payloads, rows, sources)) for at in range(len(payloads))]


ORPHAN = ("error", "cant_find_event", None, None)


def in_log_order(members, clicks, sources, policies, adopter):
    """The rows of a home but those of refunds (None): each sees what was recorded before it. `adopter`: the parent of those without one."""
    first = {}  # identity -> index of the recorded conversion whose window is the latest
    rows = {}
    for at, p in members.items():
        rows[at] = first_look(p, at, members, rows, clicks, policies, first, sources, adopter)
    return rows


def taken_back(at, p, members, rows, sources):
    """A refund: linked to the nearest of what was recorded - before it, of its own transaction, of its name, the first."""
    found = [j for j, row in rows.items() if row and row[0] == "ok" and members[j]["test"] == p["test"]]
    if customer(p, sources):
        found = [j for j in found if members[j]["tx"] == p["tx"]]
    if not found:
        return ("discarded", "test_data", p.get("cid"), None) if p["test"] else ("error", "cant_find_event", p.get("cid"), None)

    def far(j):
        if j > at:
            return True, 0, False, j
        mine, its = own(p), own(members[j])
        return False, 0 if mine == its else 1 if its is None else 2, members[j]["name"] != p["name"], j

    parent = min(found, key=far)
    return ("discarded", "wrong_status", rows[parent][2], parent)


def home(p, sources):
    """Where two payloads that may be about the same sale meet: the customer, else the order that it names, else its own transaction."""
    return p["property"], customer(p, sources), None if customer(p, sources) else p["ref"] or p["tx"]


def own(p):
    """The transaction id of a payload that names another one as its order."""
    return p["tx"] if p["ref"] not in (None, p["tx"]) else None


def customer(p, sources):
    """The customer of a source that records one referral of each."""
    return p["email"] if sources[p["source"]][0] == "refer" else None


def is_by_reference(p, policies):
    """Whether a payload has nothing but the order that it names."""
    return p["ref"] is not None and not (has_id(p) or (policies[p["property"]]["ip"] and p.get("ip")))


def is_parent(p, policies):
    return not p["test"] and not is_by_reference(p, policies)


def first_look(p, at, members, rows, clicks, policies, first, sources, adopter):
    if p["status"] == "refunded" and not (p["test"] and not has_id(p)):
        return None  # judged beside its parent, when all parents are known
    click, how = find_click(p, clicks, policies[p["property"]])
    if p["test"] and not (click and has_id(p)):  # an address alone is no tracking parameter
        return ("discarded", "test_data", p.get("cid"), None)
    if p["status"] == "pending":
        return ("discarded", "wrong_status", click if p["test"] else p.get("cid"), None)
    if p["name"] == "AddToCart":
        return ("discarded", "filtered_event", click if p["test"] else p.get("cid"), None)
    identity = identity_of(p, at, sources)
    original = first.get(identity)
    if original is not None:
        span = sources[members[original]["source"]][1]
        if span is None or p["u"] - members[original]["u"] <= span:
            return ("deduplicated", "duplicate", p.get("cid"), original)
    referral = customer(p, sources) and (p["name"], p["test"])
    if referral in first:
        return ("discarded", "fraud_rule", p.get("cid"), first[referral])
    parents = [j for j, row in rows.items() if row and row[0] == "ok" and is_parent(members[j], policies)]
    if is_by_reference(p, policies):
        return by_reference(p, at, members, rows, parents, first, sources, adopter, clicks, policies)
    if click is None:
        return ("error", how, p.get("cid"), None)
    if p["time"] - next(c["time"] for c in clicks if c["id"] == click) < policies[p["property"]]["least"]:
        return ("discarded", "fraud_rule", click, None)
    if sources[p["source"]][0] == "refer" and p["email"] and p["email"] == next(c["owner"] for c in clicks if c["id"] == click):
        return ("discarded", "fraud_rule", click, None)
    first[identity] = at
    if referral:
        first[referral] = at
    orders = [j for j in parents if own(members[j]) is None] if own(p) else []
    return ("ok", "recorded", click, (orders or [None])[0])


def identity_of(p, at, sources):
    """What makes two payloads of a home the same conversion; in mode create each is its own."""
    return at if sources[p["source"]][0] == "create" else (p["test"], p["tx"], p["name"])


def by_reference(p, at, members, rows, parents, first, sources, adopter, clicks, policies):
    """Known by its order alone: recorded with the nearest sale before it, else with the first of all, but never with itself."""
    identity = identity_of(p, at, sources)
    if parents:
        rank = lambda j: (0 if own(members[j]) == own(p) else 1 if own(members[j]) is None else 2, members[j]["name"] != p["name"], j)  # noqa: E731
        parent = min(parents, key=rank)
        click = rows[parent][2]
    elif adopter is not None and adopter > at and identity_of(members[adopter], adopter, sources) != identity:
        parent = adopter
        click = find_click(members[parent], clicks, policies[p["property"]])[0]
    else:
        return ORPHAN
    first[identity] = at
    return ("ok", "recorded", click, parent)


def worth(at, payloads, rows, sources):
    """The value of a row: its own, but a recorded conversion's is changed by its duplicates as its source says, retries left out."""
    own = payloads[at]
    mode = sources[own["source"]][0]
    if rows[at][0] != "ok" or mode not in ("add_value", "edit"):
        return own["value"]
    said = lambda p: {name: value for name, value in p.items() if name != "u"}  # noqa: E731
    value, seen = own["value"], [said(own)]
    for p, row in zip(payloads, (rows[j] for j in range(len(payloads))), strict=True):
        if row[0] == "deduplicated" and row[3] == at and p["source"] == own["source"] and said(p) not in seen:
            seen.append(said(p))
            value = value + p["value"] if mode == "add_value" else p["value"]
    return value


def has_id(p):
    return bool(p.get("cid") or p.get("email") or p.get("phone"))
