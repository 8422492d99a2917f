// The strip for a feed that is played, not live: pause, one bar, speed. Its state is the service's, so that all pages show the same.

import { choices, put } from "./dom.js";

const PATH = "api/tastytrade/playback";
const CHUNK_S = 10; // a step where the end of a bar is not known before: bars made of trades
const SAID = { paused: "paused", stepping: "to the end of the bar \u2026", ended: "over" };

const told = (speed) => (speed === "max" ? "max" : `${speed}\u00d7`);
const byId = (id) => document.getElementById(id);

/** `post(path, body)` answers JSON, or null where it is refused; `watched()` gives {symbol, timeframe}; `settings` the clock. */
export class Playback {
  constructor(post, watched, settings) {
    this._post = post;
    this._watched = watched;
    this._settings = settings;
    this._state = null;
    byId("play").addEventListener("click", () => this.toggle());
    byId("step").addEventListener("click", () => this.step());
  }

  /** Whether what is shown is played. */
  get isThere() {
    return this._state !== null;
  }

  /** What the service says of it; null for a live feed. */
  show(state) {
    this._state = state;
    byId("playback").hidden = !state;
    if (!state) return;
    const isOver = state.state === "ended";
    const stands = state.state === "paused" || isOver;
    put("play", stands ? "\u25b6 Play" : "\u275a\u275a Pause");
    byId("play").title = stands ? "Go on (Space)" : "Pause (Space)";
    for (const id of ["play", "step"]) byId(id).disabled = isOver;
    byId("playback").dataset.state = state.state;
    choices("speeds", state.speeds.map(told), told(state.speed), (label) => this._send({ speed: state.speeds.find((each) => told(each) === label) }));
    for (const button of byId("speeds").children) button.disabled = isOver;
    put("played-to", state.time ? this._settings.stamp().format(new Date(state.time)) : "\u2013");
    put("playing", SAID[state.state] ?? "");
  }

  toggle() {
    if (this._state) this._send({ action: this._state.state === "paused" ? "resume" : "pause" });
  }

  step() {
    if (!this._state) return;
    const { symbol, timeframe } = this._watched();
    const isOfTrades = /[tvr]$/.test(timeframe);
    this._send({ action: "step", symbol, ...(isOfTrades ? { seconds: CHUNK_S } : { timeframe }) });
  }

  /** One of the speeds further up (1) or down (-1). */
  shift(by) {
    if (!this._state) return;
    const { speeds, speed } = this._state;
    const next = speeds[speeds.indexOf(speed) + by];
    if (next !== undefined) this._send({ speed: next });
  }

  async _send(body) {
    if (this._state.state === "ended") return;
    const state = await this._post(PATH, body);
    if (state) this.show(state);
  }
}
