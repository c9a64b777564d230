/* Clicktrail site tag: <script async src="https://HOST/tag.js" data-property="shop"></script>
   data-param      the query parameter with the click id (click_id)
   data-campaign   this page's campaign; else ?campaign_id=
   data-consent    absent: visits and clicks, forms are not read · "forms": also e-mail and phone of a form that is sent
                   "wait": nothing is stored or sent until clicktrail.start(), or start({forms: true})
   <form data-clicktrail="off"> is never read · <a data-clicktrail> reports a lander click · --CLICK-ID-- in a link becomes the click id
   clicktrail.identify({email, phone, external_id}) · clicktrail.track(kind, {parameters}) · clicktrail.clickId */
(function (w, d) {
  "use strict";
  var s = d.currentScript, c = s && s.dataset, P = c && c.property;
  if (!P || w.clicktrail) return;
  var host = new URL(s.src).origin, to = host + "/t/" + encodeURIComponent(P), KEY = "_clicktrail_" + P, DAYS = 90;
  var started = false, forms = c.consent === "forms", waiting = [], q = new URLSearchParams(location.search);
  function good(v) { return /^[\w.:~-]{1,200}$/.test(v || "") ? v : null; } /* an unexpanded macro is no id */
  function id() {
    var h = Date.now().toString(16).padStart(12, "0"), b = w.crypto.getRandomValues(new Uint8Array(10));
    for (var i = 0; i < 10; i++) h += (b[i] + 256).toString(16).slice(1);
    return h;
  }
  function kept() {
    var m = d.cookie.match(new RegExp("(?:^|; )" + KEY.replace(/\W/g, "\\$&") + "=([^;]*)"));
    try { return good(m && decodeURIComponent(m[1])) || good(w.localStorage.getItem(KEY)); } catch (e) { return null; }
  }
  function keep(v) {
    d.cookie = KEY + "=" + encodeURIComponent(v) + "; path=/; max-age=" + DAYS * 86400 + "; SameSite=Lax" + (location.protocol === "https:" ? "; Secure" : "");
    try { w.localStorage.setItem(KEY, v); } catch (e) { /* private mode: the cookie is enough */ }
  }
  function send(kind, more) {
    if (!started) { waiting.push([kind, more]); return; }
    var e = {
      kind: kind, click_id: api.clickId, occurred_ms: Date.now(), url: location.href.slice(0, 8192), referrer: d.referrer.slice(0, 8192) || null,
      language: navigator.language || null, campaign_id: c.campaign || good(q.get("campaign_id"))
    };
    for (var k in more || {}) e[k] = more[k];
    var body = JSON.stringify(e);
    if (!(navigator.sendBeacon && navigator.sendBeacon(to, body)))
      fetch(to, { method: "POST", body: body, keepalive: true, mode: "no-cors" }).catch(function () {});
  }
  var api = w.clicktrail = {
    clickId: null,
    identify: function (who) { send("identify", who); },
    track: function (kind, more) { send(kind || "click", more); },
    start: function (given) {
      forms = forms || !!(given && given.forms);
      if (started) return;
      started = true;
      keep(api.clickId = good(q.get(c.param || "click_id")) || kept() || id());
      send("visit");
      waiting.splice(0).forEach(function (x) { send(x[0], x[1]); });
    }
  };
  d.addEventListener("submit", function (ev) {
    var f = ev.target, who = {};
    if (!forms || !f.elements || f.getAttribute("data-clicktrail") === "off") return;
    [].forEach.call(f.elements, function (x) {
      var k = x.type === "email" || (x.type === "text" && /e-?mail/i.test(x.name)) ? "email" : x.type === "tel" ? "phone" : null;
      if (k && x.value) who[k] = x.value.slice(0, 256);
    });
    if (who.email || who.phone) send("identify", who);
  }, true);
  d.addEventListener("click", function (ev) {
    var a = ev.target.closest && ev.target.closest("a[href]"), u;
    if (!a || !started || typeof a.href !== "string") return;
    if (/--CLICK-ID--/i.test(a.href)) a.href = a.href.replace(/--CLICK-ID--/gi, api.clickId);
    if (a.origin === host && /^\/go\/[^/]+/.test(a.pathname)) { /* the redirect records this one, when it knows whose it is */
      u = new URL(a.href);
      if (!u.searchParams.has("click_id")) u.searchParams.set("click_id", api.clickId);
      a.href = u.href;
    } else if (a.hasAttribute("data-clicktrail")) send("lander_click", { parameters: { link: a.href.slice(0, 2048) } });
  }, true);
  if (c.consent !== "wait") api.start();
})(window, document);
