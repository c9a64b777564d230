/* Clicktrail site tag: <script async src="https://HOST/tag.js" data-property="shop"></script>
   data-param: click id's query parameter (click_id) · data-consent="wait": nothing until clicktrail.start()
   <form data-clicktrail>: its e-mail and phone fields are sent (identify) when it is submitted · clicktrail.identify({email}) · .track(kind) · .clickId */
(function (w, d) {
  "use strict";
  var s = d.currentScript, P = s && s.dataset.property;
  if (!P || w.clicktrail) return;
  var to = new URL(s.src).origin + "/t/" + encodeURIComponent(P), KEY = "_clicktrail_" + P, DAYS = 90, started = false, waiting = [];
  function id() {
    var h = Date.now().toString(16).padStart(12, "0"), b = w.crypto.getRandomValues(new Uint8Array(10));
    for (var i = 0; i < 10; i++) h += (b[i] + 256).toString(16).slice(1);
    return h;
  }
  function kept() {
    var m = d.cookie.match(new RegExp("(?:^|; )" + KEY.replace(/\W/g, "\\$&") + "=([^;]*)"));
    if (m) return decodeURIComponent(m[1]);
    try { return w.localStorage.getItem(KEY); } catch (e) { return null; }
  }
  function keep(v) {
    d.cookie = KEY + "=" + encodeURIComponent(v) + "; path=/; max-age=" + DAYS * 86400 + "; SameSite=Lax" + (location.protocol === "https:" ? "; Secure" : "");
    try { w.localStorage.setItem(KEY, v); } catch (e) { /* private mode: the cookie is enough */ }
  }
  function send(kind, more) {
    var e = { kind: kind, click_id: api.clickId, occurred_ms: Date.now(), url: location.href, referrer: d.referrer || null }, k;
    for (k in more || {}) e[k] = more[k];
    if (!started) { waiting.push([kind, more]); return; }
    var body = JSON.stringify(e);
    if (!(navigator.sendBeacon && navigator.sendBeacon(to, body)))
      fetch(to, { method: "POST", body: body, keepalive: true, mode: "no-cors" }).catch(function () {});
  }
  var api = w.clicktrail = {
    clickId: null,
    identify: function (who) { send("identify", who); },
    track: function (kind, more) { send(kind || "click", more); },
    start: function () {
      if (started) return;
      started = true;
      var passed = new URLSearchParams(location.search).get(s.dataset.param || "click_id");
      keep(api.clickId = passed || kept() || id());
      send("visit");
      waiting.splice(0).forEach(function (x) { send(x[0], x[1]); });
    }
  };
  d.addEventListener("submit", function (ev) {
    var f = ev.target, who = {}, any = false;
    if (!f.hasAttribute || !f.hasAttribute("data-clicktrail")) return;
    [].forEach.call(f.elements, function (x) {
      var k = x.type === "tel" ? "phone" : x.type === "email" || /e-?mail/i.test(x.name) ? "email" : null;
      if (k && x.value) { who[k] = x.value; any = true; }
    });
    if (any) send("identify", who);
  }, true);
  if (s.dataset.consent !== "wait") api.start();
})(window, document);
