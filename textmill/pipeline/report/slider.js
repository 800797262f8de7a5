"use strict";
// Rules on stored scores, as textmill.pipeline.verdicts applies them. Text from data is only ever set as textContent.
const STEPS = 500; // of a slider
const SHOWN = 12; // documents of each way
const Z_95 = 1.96;
const ARRAYS = { u1: Uint8Array, i4: Int32Array, f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array,
  u2: Uint16Array, u4: Uint32Array };
const $ = (id) => document.getElementById(id);

function element(tag, parent, text = "", className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  parent.append(made);
  return made;
}

async function unpack(id) {
  const packed = Uint8Array.from(atob($(id).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

// -- what the documents are

function readColumns(facts, buffer) {
  let at = 0;
  const next = (type, n) => {
    const kind = ARRAYS[type];
    const column = new kind(buffer.slice(at, at + n * kind.BYTES_PER_ELEMENT));
    at += n * kind.BYTES_PER_ELEMENT;
    return column;
  };
  const n = facts.n_sample;
  const docs = { n, bytes: next("i4", n), nStages: next("u1", n) };
  docs.values = facts.rules.map((rule) => next(rule.type, n));
  docs.members = next("i4", facts.n_members || 0); // of clusters, the preferred ones of each first
  docs.clusters = next("i4", facts.n_members || 0);
  return docs;
}

function binsOf(values, docs, rule) {
  const edges = rule.histogram.edges;
  if (!edges) return null;
  return Int16Array.from(values, (value, doc) => {
    if (docs.nStages[doc] <= rule.stage || value < edges[0] || value > edges[edges.length - 1]) return -1;
    let low = 0, high = edges.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (value >= edges[middle]) low = middle; else high = middle;
    }
    return low;
  });
}

// -- what the rules say

// Bounds are compared in the type of the column.
function failsOf(values, docs, rule, state) {
  const fails = new Uint8Array(docs.n);
  if (!state.on || (!rule.label && state.low === null && state.high === null)) return fails;
  const inType = rule.type === "f4" ? Math.fround : (x) => x;
  const low = state.low === null || rule.label ? -Infinity : inType(state.low);
  const high = state.high === null || rule.label ? Infinity : inType(state.high);
  for (let doc = 0; doc < docs.n; doc++) {
    if (docs.nStages[doc] <= rule.stage) continue;
    const value = values[doc];
    const holds = rule.label ? value === 0 : rule.exclusive
      ? (state.low === null || value > low) && (state.high === null || value < high)
      : value >= low && value <= high;
    fails[doc] = holds ? 0 : 1;
  }
  return fails;
}

// keep: 1 kept, 0 dropped, 2 unknown: it passes every rule that has a score to judge, and some have none.
function judge(facts, docs, fails, bins) {
  const counts = facts.rules.map((rule) => ({ inOrder: 0, alone: 0, only: 0,
    others: new Float64Array((rule.histogram.counts || []).length) }));
  const keep = new Uint8Array(docs.n), first = new Int16Array(docs.n).fill(-1);
  const nRules = facts.rules.length;
  for (let doc = 0; doc < docs.n; doc++) {
    let failed = 0, stage = -1;
    for (let i = 0; i < nRules; i++) {
      if (!fails[i][doc]) continue;
      if (failed && facts.rules[i].stage !== stage) break; // no later stage sees it
      if (!failed) { first[doc] = i; stage = facts.rules[i].stage; }
      failed++;
      counts[i].alone++;
    }
    if (failed) counts[first[doc]].inOrder++;
    else keep[doc] = docs.nStages[doc] === facts.stages.length ? 1 : 2;
    if (failed === 1) {
      counts[first[doc]].only++;
      tallyBin(counts[first[doc]], bins[first[doc]], doc);
    } else if (keep[doc] === 1) {
      for (let i = 0; i < nRules; i++) tallyBin(counts[i], bins[i], doc);
    }
  }
  return { keep, first, counts };
}

function tallyBin(count, bins, doc) {
  if (bins && bins[doc] >= 0) count.others[bins[doc]]++;
}

function amount(docs, keep, wanted) {
  let n = 0, bytes = 0;
  for (let doc = 0; doc < docs.n; doc++) if (keep[doc] === wanted) { n++; bytes += docs.bytes[doc]; }
  return { docs: n, text_bytes: bytes };
}

// Of each cluster the first member that passes stays.
function withoutCopies(docs, keep, kept) {
  let n = kept.docs, bytes = kept.text_bytes, last = -1;
  for (let i = 0; i < docs.members.length; i++) {
    const doc = docs.members[i];
    if (keep[doc] !== 1) continue;
    if (docs.clusters[i] === last) { n--; bytes -= docs.bytes[doc]; }
    last = docs.clusters[i];
  }
  return { docs: n, text_bytes: bytes };
}

// The change in all documents, from that in the sample, and half the width of its 95% interval.
function change(facts, docs, before, after, weight) {
  let sum = 0, squares = 0;
  for (let doc = 0; doc < docs.n; doc++) {
    const d = ((after[doc] === 1) - (before[doc] === 1)) * weight(doc);
    sum += d;
    squares += d * d;
  }
  const n = docs.n, all = facts.n_documents;
  if (n === all || !n) return { by: sum, error: 0 };
  const variance = (squares - sum * sum / n) / Math.max(1, n - 1);
  return { by: sum * all / n, error: Z_95 * all * Math.sqrt(variance / n * (1 - n / all)) };
}

// -- how it is shown

const number = (n) => Math.round(n).toLocaleString("en");
function size(bytes) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (Math.abs(bytes) < 1000) return `${unit === "B" ? bytes.toFixed(0) : bytes.toFixed(1)} ${unit}`;
    bytes /= 1000;
  }
  return `${bytes.toFixed(1)} TB`;
}

function showFact(place, name, before, by, error, show) {
  const box = element("div", place);
  element("b", box, show(before + by));
  box.append(name);
  const small = element("small", box, Math.round(by) ? "" : "as in the run");
  if (!Math.round(by)) return;
  const share = before ? ` (${by > 0 ? "+" : "−"}${Math.abs(100 * by / before).toFixed(2)}%)` : "";
  const about = error ? ` ± ${show(error)}` : "";
  element("span", small, `${by > 0 ? "+" : "−"}${show(Math.abs(by))}${about}${share}`, by > 0 ? "more" : "less");
}

const scale = (made, x) => (made.log ? Math.log(x) : x);
function position(made, x) { // of a value, from 0 to 1
  const first = scale(made, made.edges[0]), last = scale(made, made.edges[made.edges.length - 1]);
  return Math.min(1, Math.max(0, ((made.log && x <= 0 ? first : scale(made, x)) - first) / (last - first)));
}
function valueAt(made, t, isLow) {
  const first = scale(made, made.edges[0]), last = scale(made, made.edges[made.edges.length - 1]);
  const x = made.log ? Math.exp(first + t * (last - first)) : first + t * (last - first);
  if (made.integer) return isLow ? Math.ceil(x) : Math.floor(x);
  return Number(x.toPrecision(Math.abs(x) < (last - first) / 100 ? 1 : 3));
}

function draw(canvas, made, count, state, scaled) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const most = Math.sqrt(Math.max(1, ...made.counts));
  const half = made.integer ? 0.5 : 0;
  const low = state.on && state.low !== null ? position(made, state.low - half) * width : 0;
  const high = state.on && state.high !== null ? position(made, state.high + half) * width : width;
  const style = getComputedStyle(canvas), colour = (name) => style.getPropertyValue(name);
  context.fillStyle = `rgb(${colour("--heat")} / .06)`;
  context.fillRect(low, 0, high - low, height);
  made.counts.forEach((n, i) => {
    const left = position(made, made.edges[i]) * width, right = position(made, made.edges[i + 1]) * width;
    const bar = (many, color) => {
      const tall = Math.sqrt(many) / most * (height - 4);
      context.fillStyle = color;
      context.fillRect(left + 0.5, height - tall, Math.max(1, right - left - 1), tall);
    };
    bar(n, colour("--pale"));
    const middle = (left + right) / 2;
    bar(Math.min(n, count.others[i] * scaled), middle >= low && middle <= high ? colour("--accent") : colour("--third"));
  });
  context.strokeStyle = colour("--limit");
  context.setLineDash([4, 3]);
  for (const [bound, x] of [[state.low, low], [state.high, high]]) {
    if (!state.on || bound === null || x <= 0 || x >= width) continue;
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, height);
    context.stroke();
  }
}

function makeRule(rule, state, onChange) {
  const box = document.createElement("div");
  box.className = "rule";
  const head = element("header", box);
  const toggle = element("input", head);
  toggle.type = "checkbox";
  toggle.title = "whether the rule is applied";
  const name = element("b", head, rule.reason);
  name.title = `column ${rule.column}${rule.source ? `; ${rule.source}` : ""}`;
  const counts = element("div", box, "", "counts");
  const made = rule.histogram.edges ? rule.histogram : null;
  const canvas = made ? element("canvas", box) : null;
  const range = made && !rule.label ? element("div", box, "", "range") : null;
  const ends = element("div", box, "", "ends");
  const inputs = {}, sliders = {};
  for (const bound of ["low", "high"]) {
    if (rule.label) continue;
    const label = element("label", ends, bound === "low" ? "at least" : "at most");
    if (rule.exclusive) label.firstChild.textContent = bound === "low" ? "more than" : "less than";
    inputs[bound] = element("input", label);
    inputs[bound].placeholder = "no bound";
    inputs[bound].inputMode = "decimal";
    inputs[bound].addEventListener("change", () => {
      const text = inputs[bound].value.trim(), value = text === "" || text === "none" ? null : Number(text);
      const bad = value !== null && !Number.isFinite(value);
      inputs[bound].setCustomValidity(bad ? "not a number" : "");
      if (!bad) { state[bound] = value; onChange(true); }
    });
    if (!range) continue;
    const slider = (sliders[bound] = element("input", range));
    Object.assign(slider, { type: "range", min: 0, max: STEPS, ariaLabel: `${rule.reason} ${bound}` });
    slider.addEventListener("input", () => {
      const at = Number(slider.value), end = bound === "low" ? 0 : STEPS;
      state[bound] = at === end ? null : valueAt(made, at / STEPS, bound === "low");
      onChange(false);
    });
    slider.addEventListener("change", () => onChange(true));
  }
  if (rule.label) element("span", ends, `must be ${[...new Set([rule.low, rule.high])].filter((x) => x !== null).join(" to ")}`);
  toggle.addEventListener("change", () => { state.on = toggle.checked; onChange(true); });
  const show = (count, was, scaled) => {
    toggle.checked = state.on;
    box.classList.toggle("off", !state.on);
    box.classList.toggle("changed", isChanged(rule, state));
    box.classList.toggle("idle", was.alone === 0 && count.alone === 0);
    const about = scaled === 1 ? "" : "≈ ";
    const text = (n, old) => `${about}${number(n * scaled)}${n === old ? "" : ` (was ${number(old * scaled)})`}`;
    counts.textContent = `fail ${text(count.alone, was.alone)} · only this rule ${text(count.only, was.only)}`;
    for (const bound of Object.keys(inputs)) {
      if (document.activeElement !== inputs[bound]) inputs[bound].value = state[bound] === null ? "" : String(state[bound]);
    }
    const half = made && made.integer ? 0.5 : 0;
    for (const bound of Object.keys(sliders)) {
      if (document.activeElement === sliders[bound]) continue;
      const isLow = bound === "low", value = state[bound];
      sliders[bound].value = value === null ? (isLow ? 0 : STEPS) : STEPS * position(made, value + (isLow ? -half : half));
    }
    if (canvas) draw(canvas, made, count, state, scaled);
  };
  return { box, show };
}

function showFlips(facts, docs, texts, ways, states) {
  $("flips").replaceChildren();
  let any = false;
  for (const [title, members, ruleOf] of ways) {
    if (!members.length) continue;
    any = true;
    const column = element("div", $("flips"));
    const all = facts.n_sample === facts.n_documents ? "" : " of the sample";
    element("h3", column, `${title}: ${number(members.length)} documents${all}`);
    const shown = members.filter((doc) => texts.has(doc)).slice(0, SHOWN);
    for (const doc of shown.length ? shown : members.slice(0, SHOWN)) {
      const [url, text] = texts.get(doc) || ["", ""];
      const sample = element("div", column, "", "sample");
      const line = element("div", sample, "", "url"), rule = ruleOf(doc);
      const value = facts.rules[rule].label ? "" : ` = ${Number(docs.values[rule][doc].toPrecision(4))}`;
      element("span", line, `${facts.rules[rule].reason}${value}`, "tag");
      line.append(` ${facts.doc_ids[doc]} ${url}`);
      element("pre", sample, text);
    }
  }
  $("no-flips").hidden = any;
}

// -- settings, as `textmill whatif --set` has them

const isChanged = (rule, state) => !state.on || (!rule.label && (state.low !== rule.low || state.high !== rule.high));

function settingsOf(facts, states) {
  const found = [];
  facts.rules.forEach((rule, i) => {
    for (const bound of ["low", "high"]) {
      const now = states[i].on ? states[i][bound] : null;
      if (now !== rule[bound]) found.push([`${rule.reason}.${bound}`, now === null ? "none" : String(now)]);
    }
  });
  return found;
}

function applySettings(facts, states, settings) {
  for (const [name, text] of settings) {
    const dot = name.lastIndexOf("."), bound = name.slice(dot + 1);
    const i = facts.rules.findIndex((rule) => rule.reason === name.slice(0, dot));
    const value = text === "none" || text === "" ? null : Number(text);
    if (i < 0 || !["low", "high"].includes(bound) || Number.isNaN(value)) continue;
    states[i][bound] = value;
    if (states[i].low === null && states[i].high === null) {
      Object.assign(states[i], { on: false, low: facts.rules[i].low, high: facts.rules[i].high });
    }
  }
}

// -- the page

function start(facts, docs) {
  const texts = new Map(facts.texts.map(([doc, url, text]) => [doc, [url, text]]));
  const states = facts.rules.map((rule) => ({ on: true, low: rule.low, high: rule.high }));
  const bins = facts.rules.map((rule, i) => binsOf(docs.values[i], docs, rule));
  const failsNow = () => facts.rules.map((rule, i) => failsOf(docs.values[i], docs, rule, states[i]));
  const fails = failsNow();
  const before = judge(facts, docs, fails, bins);
  const scaled = docs.n ? facts.n_documents / docs.n : 1;
  let waiting = false;

  const update = (settled) => {
    const after = judge(facts, docs, fails, bins);
    showSummary(facts, docs, states, before, after, scaled);
    cards.forEach((card, i) => card.show(after.counts[i], before.counts[i], scaled));
    $("n-idle").textContent = number(document.querySelectorAll(".rule.idle:not(.changed)").length);
    const where = (holds) => Array.from(docs.bytes.keys()).filter(holds);
    const ways = [
      ["Come in", where((d) => after.keep[d] === 1 && before.keep[d] !== 1), (d) => before.first[d]],
      ["Go out", where((d) => before.keep[d] === 1 && after.keep[d] !== 1), (d) => after.first[d]],
      ["May come in", where((d) => after.keep[d] === 2), (d) => before.first[d]],
    ];
    showFlips(facts, docs, texts, ways, states);
    if (settled) {
      const settings = new URLSearchParams(settingsOf(facts, states)).toString();
      history.replaceState(null, "", settings ? `#${settings}` : location.pathname + location.search);
    }
    document.body.dataset.result = JSON.stringify(resultOf(facts, docs, after, ways));
  };
  const changed = (i) => (settled) => {
    fails[i] = failsOf(docs.values[i], docs, facts.rules[i], states[i]);
    if (settled) return update(true);
    if (!waiting) requestAnimationFrame(() => { waiting = false; update(false); });
    waiting = true;
    return undefined;
  };
  const cards = facts.rules.map((rule, i) => makeRule(rule, states[i], changed(i)));
  facts.stages.forEach((stage, s) => {
    if (!facts.rules.some((rule) => rule.stage === s)) return;
    element("h3", $("rules"), stage, "stage");
    const grid = element("div", $("rules"), "", "rules");
    cards.forEach((card, i) => { if (facts.rules[i].stage === s) grid.append(card.box); });
  });
  const all = () => { fails.splice(0, fails.length, ...failsNow()); update(true); };
  $("reset").addEventListener("click", () => {
    facts.rules.forEach((rule, i) => Object.assign(states[i], { on: true, low: rule.low, high: rule.high }));
    all();
  });
  $("show-idle").addEventListener("change", () => {
    $("rules").classList.toggle("all-rules", $("show-idle").checked);
    update(false);
  });
  window.addEventListener("resize", () => update(false));
  $("run").textContent = `run ${facts.run}`;
  $("about").textContent = about(facts);
  applySettings(facts, states, new URLSearchParams(location.hash.slice(1)));
  all();
  update(false); // once more: what was idle has its width now
}

function showSummary(facts, docs, states, before, after, scaled) {
  const perToken = facts.bytes_per_token.value;
  const n = change(facts, docs, before.keep, after.keep, () => 1);
  const bytes = change(facts, docs, before.keep, after.keep, (doc) => docs.bytes[doc]);
  const place = $("facts");
  place.replaceChildren();
  showFact(place, `documents kept of ${number(facts.n_documents)}`, facts.kept.docs, n.by, n.error, number);
  showFact(place, "of text", facts.kept.text_bytes, bytes.by, bytes.error, size);
  showFact(place, "tokens, estimated", facts.kept.tokens, bytes.by / perToken, bytes.error / perToken, number);
  const limits = [];
  if (facts.n_members !== undefined) {
    const was = withoutCopies(docs, before.keep, amount(docs, before.keep, 1));
    const now = withoutCopies(docs, after.keep, amount(docs, after.keep, 1));
    showFact(place, "documents without copies", was.docs, now.docs - was.docs, 0, number);
    const compared = facts.rules.some((rule, i) => rule.decides_comparison && isChanged(rule, states[i]));
    if (compared) limits.push("Copies are those that the run found; with other bounds of these rules it may find others.");
  }
  const unknown = amount(docs, after.keep, 2);
  if (unknown.docs) {
    limits.push(`${number(unknown.docs * scaled)} more documents (${size(unknown.text_bytes * scaled)}) pass the early rules, `
      + "but the run made no later scores of them: none, some or all may be kept.");
  }
  $("limits").textContent = limits.join(" ");
  $("kept-before").style.width = `${100 * facts.kept.docs / Math.max(1, facts.n_documents)}%`;
  $("kept-after").style.width = `${100 * (facts.kept.docs + n.by) / Math.max(1, facts.n_documents)}%`;
  const settings = settingsOf(facts, states).map((pair) => `--set ${pair.join("=")}`);
  $("settings").textContent = `textmill whatif WORKSPACE:${facts.run} ${settings.join(" ")}`.trim();
}

function about(facts) {
  const whole = facts.n_sample === facts.n_documents;
  const copies = facts.n_members === undefined ? " Numbers are those before copies are removed." : "";
  const what = whole ? `Exact: all ${number(facts.n_documents)} documents with text are in this page.`
    : `Estimated: ${number(facts.n_sample)} of ${number(facts.n_documents)} documents with text are in this page, chosen by `
    + "a hash of their ids. What the run kept is exact; ± is the 95% sampling error of the change.";
  return `${what}${copies} Tokens: ${facts.bytes_per_token.value.toPrecision(3)} bytes each, ${facts.bytes_per_token.source}. `
    + "Text is counted as the rules saw it, before it is edited and masked; e-mail addresses are masked in what is shown.";
}

// For whoever drives the page.
function resultOf(facts, docs, after, ways) {
  const kept = amount(docs, after.keep, 1);
  const rules = facts.rules.map((rule, i) => {
    const { inOrder, alone, only } = after.counts[i];
    return [rule.reason, [inOrder, alone, only]];
  });
  return { kept, unknown: amount(docs, after.keep, 2), copies: withoutCopies(docs, after.keep, kept),
    flips: ways.map(([, members]) => members.length), rules: Object.fromEntries(rules) };
}

Promise.all([unpack("data-facts"), unpack("data-columns")]).then(([facts, columns]) => {
  const known = JSON.parse(new TextDecoder().decode(facts));
  start(known, readColumns(known, columns));
});
