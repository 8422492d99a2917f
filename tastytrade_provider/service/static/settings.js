// What this browser remembers: theme, time zone, rules of imbalances, alerts. The contract and the timeframe stand in the address.

import { RULES } from "./reading.js";

const KEY = "orderflow";
const ZONES = [
  ["Chicago", "America/Chicago"],
  ["local", undefined],
  ["UTC", "UTC"],
];
const DEFAULTS = { theme: null, zone: 0, ratio: RULES.ratio, minVolume: RULES.minVolume, sound: false, alerts: ["regular", "hidden", "absorption", "gap", "feed"] };

export class Settings {
  constructor() {
    this._held = { ...DEFAULTS, ...stored() };
    this._formats = new Map();
  }

  get(name) {
    return this._held[name];
  }

  set(name, value) {
    this._held[name] = value;
    try {
      localStorage.setItem(KEY, JSON.stringify(this._held));
    } catch {
      // a browser that keeps nothing still shows everything: the choice holds until the page is closed
    }
    this._formats.clear();
  }

  get rules() {
    return { ratio: this._held.ratio, minVolume: this._held.minVolume, stack: RULES.stack };
  }

  get zoneName() {
    return ZONES[this._held.zone % ZONES.length][0];
  }

  nextZone() {
    this.set("zone", (this._held.zone + 1) % ZONES.length);
  }

  /** Formats of a time: at the crosshair, on the axis of a timeframe (seconds, null: a day or longer, or bars made of trades), to the second. */
  long() {
    return this._format("long", { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  }

  short(seconds) {
    if (seconds === null) return this._format("days", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
    if (seconds < 60) return this._format("seconds", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    return this._format("minutes", { hour: "2-digit", minute: "2-digit" });
  }

  /** A day with its time, to the second. */
  stamp() {
    return this._format("stamp", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  }

  clock() {
    return this.short(1);
  }

  _format(name, options) {
    let found = this._formats.get(name);
    if (!found) {
      found = new Intl.DateTimeFormat("en-GB", { ...options, hourCycle: "h23", timeZone: ZONES[this._held.zone % ZONES.length][1] });
      this._formats.set(name, found);
    }
    return found;
  }
}

function stored() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? "{}");
  } catch {
    return {}; // kept by nobody, or damaged: the defaults
  }
}
