// The page: what the service says goes into the store, and from there, once a frame, onto the screen.

import { Alerts } from "./alerts.js";
import { Chart } from "./chart.js";
import { Connection } from "./connection.js";
import { banner, choices, legend, put } from "./dom.js";
import { showHealth } from "./health.js";
import { grouped, signed } from "./marks.js";
import { Past } from "./past.js";
import { Playback } from "./playback.js";
import { read, stacks } from "./reading.js";
import { Settings } from "./settings.js";
import { Store } from "./store.js";

const TIMEFRAMES = ["5s", "15s", "1m", "5m", "15m", "1h"];
const LOADING_MS = 600; // a switch that takes longer says so
const GATHER_MS = 20; // what comes within it is drawn in one frame: a bar and its footprint, the figures and the chart
const REFUSAL_MS = 6_000;
const HISTORY = Math.min(5_000, Math.max(50, Number(new URLSearchParams(location.search).get("bars")) || 400));

const byId = (id) => document.getElementById(id);
const bare = (symbol) => symbol.replace(/^\//, "");

const given = /^#token=(.+)$/.exec(location.hash);
if (given) {
  sessionStorage.setItem("token", decodeURIComponent(given[1]));
  history.replaceState(null, "", location.pathname + location.search); // it stays in this tab, not in the address
}

const settings = new Settings();
const alerts = new Alerts(settings);
const page = {
  state: "connecting", // "connecting", "live", "waiting"
  markets: [],
  symbol: null, // as the service names it
  timeframe: null,
  store: null,
  status: null,
  hovered: null,
  isHeld: false,
  changes: new Set(), // bars to be drawn, or "all"
  isLoading: false,
  refusal: null, // why what was asked for last is not to be had
  frame: 0,
};

const chart = new Chart(byId("chart"), settings, {
  hover: (bar) => {
    page.hovered = bar;
    draw(null);
  },
  view: () => look(),
  layout: () => draw(null),
});
const past = new Past(get, (store, changes) => store === page.store && draw(changes === "all" ? "all" : null, true));
const playback = new Playback(post, () => page, settings);
const connection = new Connection(new URL("api/tastytrade/ws", document.baseURI).href.replace(/^http/, "ws"), token, {
  state: showState,
  hello,
  snapshot,
  message: hear,
  refused,
  unauthorized: askToken,
});

// --- what comes in

function hello({ markets, timeframe }) {
  page.markets = markets;
  const [symbol, wanted] = decodeURIComponent(location.hash.slice(1)).split("/");
  const found = markets.find((market) => bare(market) === symbol);
  if (page.symbol === null || !markets.includes(page.symbol)) watch(found ?? markets[0], page.timeframe ?? (wanted || timeframe));
  else showChoices();
}

function snapshot(message) {
  page.isLoading = false;
  page.timeframe = message.timeframe;
  page.store = Store.of(message);
  page.changes = new Set();
  past.begin(page.store, encodeURIComponent(bare(page.symbol)));
  setTick();
  showChoices();
  showBanner();
  draw("all");
}

function hear(message) {
  const { store } = page;
  if (message.type === "status") {
    showStatus(message);
  } else if (!store) {
    return;
  } else if (message.type === "delta_update") {
    const moved = store.countFrom(message.cvd.since);
    const change = store.update(message.bar, message.closed);
    draw(moved ? "all" : change);
  } else if (message.type === "footprint_update") {
    draw(store.addCells(message));
    if (message.closed) tellStacks(message);
  } else if (message.type === "gap") {
    draw(store.addGap(message.gap));
    const { start, reason, filled } = message.gap;
    if (!filled) alerts.tell("gap", `${bare(page.symbol)}: gap, ${reason}`, { key: `gap ${start}`, time: start });
  } else if (message.type === "signal") {
    const direction = message.direction === "bullish" ? 1 : -1;
    const text = `${bare(page.symbol)} ${page.timeframe}: ${message.name} ${message.direction}`;
    alerts.tell(message.name, text, { key: `${message.name} ${page.symbol} ${page.timeframe} ${message.time}`, time: message.time, direction });
  } else if (message.type === "roll") {
    connection.watch(page.symbol, page.timeframe, HISTORY); // the new contract, from its beginning
  }
}

function tellStacks(cells) {
  const tickSize = chart.tickSize;
  const found = read(cells, tickSize, 1, settings.rules);
  const every = stacks(found, settings.rules);
  for (const side of [1, -1]) {
    const own = every.filter((each) => each.side === side);
    if (own.length === 0) continue;
    const price = (row) => (found.ticks[row] * tickSize).toFixed(decimals());
    const prices = own.map(({ low, high }) => `${price(low)}\u2013${price(high)}`).join(", ");
    const text = `${bare(page.symbol)} ${page.timeframe}: ${side > 0 ? "buying" : "selling"} stacked at ${prices}`;
    alerts.tell("stack", text, { key: `stack ${side} ${page.symbol} ${page.timeframe} ${cells.time} ${cells.bar_no}`, time: cells.time, direction: side });
  }
}

function showStatus(status) {
  const was = page.status;
  page.status = status;
  setTick();
  showHealth(status, page.symbol, settings, connection.reconnects);
  playback.show(status.playback);
  if (was?.ready && !status.ready) alerts.tell("feed", `feed: ${status.reason}`, { key: `feed ${Date.now()}` });
  showBanner();
}

function setTick() {
  const contract = page.status?.contracts.find((each) => each.market === page.symbol);
  if (contract && contract.tick_size !== chart.tickSize) chart.setTick(contract.tick_size);
}

function refused({ message }) {
  byId("other").setAttribute("aria-invalid", "true");
  refuse(message);
  if (page.store) watch(page.symbol, page.store.timeframe);
}

/** Why what was asked for is not to be had, for a while. */
function refuse(message) {
  page.refusal = message;
  setTimeout(() => {
    if (page.refusal === message) page.refusal = null;
    showBanner();
  }, REFUSAL_MS);
  showBanner();
}

// --- what is asked for

function watch(symbol, timeframe) {
  page.symbol = symbol;
  page.timeframe = timeframe;
  page.hovered = null;
  page.isLoading = true;
  if (page.isHeld) hold();
  setTimeout(showBanner, LOADING_MS);
  history.replaceState(null, "", `${location.search}#${bare(symbol)}/${timeframe}`);
  connection.watch(symbol, timeframe, HISTORY);
  showChoices();
}

function token() {
  return sessionStorage.getItem("token");
}

/** JSON of a path of this service, or null where it is refused. */
async function get(path) {
  const answer = await fetch(path, token() ? { headers: { Authorization: `Bearer ${token()}` } } : {});
  if (answer.status === 401) askToken();
  return answer.ok ? answer.json() : null;
}

/** Change something: the JSON of the answer, or null where it is refused, which the page then says. Where the token is missing, it is asked for. */
async function post(path, body) {
  try {
    const headers = { "Content-Type": "application/json", ...(token() && { Authorization: `Bearer ${token()}` }) };
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
    if (answer.ok) return await answer.json();
    if (answer.status === 401) askToken();
    else refuse((await answer.json()).detail);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    refuse("the service cannot be reached");
  }
  return null;
}

function askToken() {
  if (byId("login").open) return;
  byId("token").value = "";
  byId("login").showModal();
}

function signIn() {
  if (!byId("token").value) return;
  sessionStorage.setItem("token", byId("token").value.trim());
  byId("login").close();
  if (page.state !== "live") connection.open();
}

let looking = 0;

/** What is in view may need what was not fetched yet. */
function look() {
  clearTimeout(looking);
  looking = setTimeout(() => page.state === "live" && chart.range && past.look(...chart.range, chart.hasCells), 150);
}

// --- what is shown

/** Draw soon: a bar, "all", or only the figures (null). */
function draw(change, again = false) {
  if (change === "all" || page.changes === "all") page.changes = "all";
  else if (change) page.changes.add(change);
  page.again ||= again;
  page.frame ||= setTimeout(paint, GATHER_MS);
}

function paint() {
  page.frame = 0;
  if (!page.store) return;
  if (!page.isHeld) {
    const { changes } = page;
    page.changes = new Set();
    if (changes === "all") chart.show(page.store);
    else if (changes.size > 0) chart.apply(changes);
    if (page.again) chart.refresh();
    page.again = false;
  }
  showFigures();
}

function showFigures() {
  const { last } = page.store;
  const row = (page.hovered ?? last)?.row;
  const price = (value) => (value === null || value === undefined ? "\u2013" : value.toFixed(decimals()));
  const whole = (value) => (value === null || value === undefined ? "\u2013" : signed(value));
  const tone = (value) => (value > 0 ? "up" : value < 0 ? "down" : "");
  put("last", price(last?.row.close));
  put("delta", whole(last?.row.delta), tone(last?.row.delta));
  put("cvd", whole(last?.row.cvd), tone(last?.row.cvd));
  document.title = last ? `${price(last.row.close)} ${bare(page.symbol)}` : "Order flow";
  if (!row) return;
  const title = `${bare(page.symbol)} ${page.store.timeframe}`;
  legend("legend-price", title, [
    ["O", price(row.open), "", "wide"],
    ["H", price(row.high), "", "wide"],
    ["L", price(row.low), "", "wide"],
    ["C", price(row.close), tone(row.close - row.open)],
    ["vol", grouped(row.volume)],
    ...(row.unknown_volume ? [["no side", grouped(row.unknown_volume)]] : []),
    ...(row.complete ? [] : [["", "incomplete", "down"]]),
    ...(row.revision ? [["rev", String(row.revision)]] : []),
    ...(chart.drawn.perRow > 1 ? [["row", `${chart.drawn.perRow} ticks`]] : []),
  ]);
  legend("legend-delta", "delta", [
    ["", whole(row.delta), tone(row.delta)],
    ["low", whole(row.min_delta)],
    ["high", whole(row.max_delta)],
  ]);
  legend("legend-cvd", "CVD", [["", whole(row.cvd), tone(row.cvd)]]);
  chart.tops.forEach((top, i) => (byId(["legend-price", "legend-delta", "legend-cvd"][i]).style.top = `${top + 5}px`));
}

function decimals() {
  return Math.min(8, (String(chart.tickSize).split(".")[1] ?? "").length);
}

function showState(state, why) {
  page.state = state;
  page.why = why;
  byId("chart").dataset.state = state;
  if (state !== "live") {
    byId("dot").className = state === "connecting" ? "warn" : "bad";
    put("state", state === "connecting" ? "connecting" : "no service");
    put("reason", "");
  }
  showBanner();
}

function showBanner() {
  const { state, status, why } = page;
  if (state === "waiting") banner(`${page.store ? "The picture stands still" : "Nothing to show yet"}: ${why}. Trying again`);
  else if (page.refusal) banner(page.refusal);
  else if (page.isLoading && state === "live") banner(`Loading ${bare(page.symbol)} ${page.timeframe}`);
  else if (status && !status.ready && status.state !== "ended" && page.store) banner(`Not fresh enough to trade on: ${status.reason ?? status.state}`);
  else if (page.isHeld) banner("The picture is held; H lets it go on");
  else banner(null);
}

function showChoices() {
  choices("symbols", page.markets, page.symbol, (symbol) => watch(symbol, page.timeframe), bare);
  choices("timeframes", TIMEFRAMES, page.timeframe, (timeframe) => watch(page.symbol, timeframe));
  const other = byId("other");
  const isOther = page.timeframe !== null && !TIMEFRAMES.includes(page.timeframe);
  if (document.activeElement !== other) other.value = isOther ? page.timeframe : "";
}

function hold() {
  page.isHeld = !page.isHeld;
  byId("freeze").setAttribute("aria-pressed", String(page.isHeld));
  showBanner();
  draw(null);
}

function nextTheme() {
  const root = document.documentElement;
  const isDark = getComputedStyle(root).colorScheme === "dark";
  settings.set("theme", isDark ? "light" : "dark");
  dress();
}

function dress() {
  const theme = settings.get("theme");
  if (theme) document.documentElement.dataset.theme = theme;
  chart.dress();
}

// --- keys and buttons

const KEYS = {
  f: () => chart.toggleFootprint(),
  "+": () => chart.zoom(1.25),
  "=": () => chart.zoom(1.25),
  "-": () => chart.zoom(0.8),
  ".": () => playback.step(),
  "<": () => playback.shift(-1),
  ">": () => playback.shift(1),
  ArrowLeft: (event) => chart.scroll(event.shiftKey ? -10 : -1),
  ArrowRight: (event) => chart.scroll(event.shiftKey ? 10 : 1),
  End: () => chart.toNow(),
  h: hold,
  " ": () => (playback.isThere ? playback.toggle() : hold()),
  a: () => alerts.open(),
  t: nextTheme,
  z: nextZone,
  "/": () => byId("other").focus(),
  "?": () => byId("help").showModal(),
};

function nextZone() {
  settings.nextZone();
  put("zone", settings.zoneName);
  chart.dress();
}

function key(event) {
  if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const digit = /^Digit([1-9])$/.exec(event.code);
  if (digit && event.shiftKey && TIMEFRAMES[digit[1] - 1]) watch(page.symbol, TIMEFRAMES[digit[1] - 1]);
  else if (digit && !event.shiftKey && page.markets[digit[1] - 1]) watch(page.markets[digit[1] - 1], page.timeframe);
  else {
    const act = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
    if (!act || (event.target instanceof HTMLButtonElement && event.key === " ")) return;
    act(event);
  }
  event.preventDefault();
}

function rule(id, name) {
  const input = byId(id);
  input.value = settings.get(name);
  input.addEventListener("change", () => {
    if (input.value === "" || !input.checkValidity()) return;
    settings.set(name, Number(input.value));
    chart.refresh();
  });
}

document.addEventListener("keydown", key);
byId("footprint").addEventListener("click", KEYS.f);
byId("freeze").addEventListener("click", hold);
byId("theme").addEventListener("click", nextTheme);
byId("zone").addEventListener("click", nextZone);
byId("alerts-open").addEventListener("click", KEYS.a);
byId("help-open").addEventListener("click", KEYS["?"]);
byId("login-go").addEventListener("click", signIn);
byId("token").addEventListener("keydown", (event) => event.key === "Enter" && signIn());
byId("other").addEventListener("input", () => byId("other").removeAttribute("aria-invalid"));
byId("other").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && byId("other").value.trim()) watch(page.symbol, byId("other").value.trim());
  if (event.key === "Enter" || event.key === "Escape") byId("other").blur();
});
for (const button of document.querySelectorAll("dialog .close")) button.addEventListener("click", () => button.closest("dialog").close());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
rule("ratio", "ratio");
rule("min-volume", "minVolume");
dress();
get("api/tastytrade/status")
  .then((status) => {
    if (status || !byId("login").open) connection.open();
  })
  .catch(() => connection.open()); // the service is away: the connection says so, and tries again

// --- for programs that look at the page; nothing can be changed here

const copy = (value) => structuredClone(value);
const cellsOf = ({ bar, reading }) => ({ time: bar.row.time, bar_no: bar.row.bar_no, ticks: reading.ticks, sold: reading.sold, bought: reading.bought, poc: reading.ticks[reading.poc] });

Object.defineProperty(window, "orderflow", {
  value: Object.freeze({
    get state() {
      const { state, symbol, timeframe, isHeld, isLoading } = page;
      return { state, symbol, timeframe, isHeld, isLoading, reconnects: connection.reconnects, bars: page.store?.bars.length ?? 0, slots: page.store?.slots.length ?? 0 };
    },
    get status() {
      return copy(page.status);
    },
    get bars() {
      return copy((page.store?.bars ?? []).map(({ row, closed }) => ({ ...row, closed })));
    },
    /** What the last frame drew: mode, ticks a row, the cells of each bar, gaps with the empty places they leave, sessions, divergences. */
    get screen() {
      const { mode, perRow, bars, gaps, sessions, divergences } = chart.drawn;
      const empty = ({ from, to }) => page.store.slots.slice(from, to + 1).filter((slot) => slot.bar === null).length;
      return copy({
        mode,
        perRow,
        bars: bars.map(cellsOf),
        gaps: gaps.map((gap) => ({ start: gap.start, end: gap.end, reason: gap.reason, filled: gap.filled, empty: empty(gap) })),
        sessions: sessions.map(({ label }) => label),
        divergences: divergences.map(({ kind, direction, bar }) => ({ kind, direction, time: bar.row.time })),
      });
    },
  }),
});
