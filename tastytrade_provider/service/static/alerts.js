// What the page tells of by itself: chosen signals as a note over the chart and, if wanted, a sound; the latest are listed.

import { put } from "./dom.js";

const KINDS = {
  regular: "regular divergence",
  hidden: "hidden divergence",
  absorption: "absorption",
  stack: "stacked imbalance",
  gap: "gap in the trades",
  feed: "feed not fresh enough to trade on",
};
const SHOWN_MS = 6_000;
const MOST_SHOWN = 4;
const MOST_KEPT = 100;

export class Alerts {
  constructor(settings) {
    this.settings = settings;
    this.latest = [];
    this._unseen = 0;
    this._told = new Set();
    const kinds = document.getElementById("kinds");
    for (const [kind, said] of Object.entries(KINDS)) {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.value = kind;
      box.checked = settings.get("alerts").includes(kind);
      box.addEventListener("change", () => settings.set("alerts", [...kinds.querySelectorAll("input:checked")].map((each) => each.value)));
      label.append(box, ` ${said}`);
      kinds.append(label);
    }
    const sound = document.getElementById("sound");
    sound.checked = settings.get("sound");
    sound.addEventListener("change", () => {
      settings.set("sound", sound.checked);
      if (sound.checked) beep(1);
    });
  }

  /** Something happened. `key` names it: the same thing is told once. `direction`: +1, -1 or 0. */
  tell(kind, text, { key, time = null, direction = 0 }) {
    if (this._told.has(key)) return;
    this._told.add(key);
    this.latest.unshift({ kind, text, time, direction });
    this.latest.length = Math.min(this.latest.length, MOST_KEPT);
    if (this._told.size > 10 * MOST_KEPT) this._told = new Set([...this._told].slice(-MOST_KEPT));
    const isChosen = this.settings.get("alerts").includes(kind);
    if (isChosen) {
      this._unseen += 1;
      this._toast(text, direction > 0 ? "up" : direction < 0 ? "down" : "warn");
      if (this.settings.get("sound")) beep(direction);
    }
    this._count();
    if (document.getElementById("alerts").open) this._list();
  }

  open() {
    this._unseen = 0;
    this._count();
    this._list();
    document.getElementById("alerts").showModal();
  }

  _count() {
    document.getElementById("count").hidden = this._unseen === 0;
    put("count", String(this._unseen));
  }

  _list() {
    if (this.latest.length === 0) return;
    const clock = this.settings.clock();
    const rows = this.latest.map(({ text, time, direction }) => {
      const item = document.createElement("li");
      const when = document.createElement("time");
      when.textContent = time ? `${clock.format(new Date(time))} ` : "";
      const said = document.createElement("span");
      said.textContent = text;
      said.className = direction > 0 ? "up" : direction < 0 ? "down" : "";
      item.append(when, said);
      return item;
    });
    document.getElementById("latest").replaceChildren(...rows);
  }

  _toast(text, className) {
    const list = document.getElementById("toasts");
    const item = document.createElement("li");
    item.textContent = text;
    item.className = className;
    list.append(item);
    while (list.children.length > MOST_SHOWN) list.firstChild.remove();
    setTimeout(() => item.remove(), SHOWN_MS);
  }
}

let context = null;

/** Two short tones: upwards, downwards, or level. */
function beep(direction) {
  context ??= new AudioContext();
  const begin = context.currentTime + 0.02;
  [660, 660 * (1 + direction * 0.25)].forEach((pitch, i) => {
    const tone = context.createOscillator();
    const volume = context.createGain();
    tone.frequency.value = pitch;
    volume.gain.setValueAtTime(0.08, begin + i * 0.14);
    volume.gain.exponentialRampToValueAtTime(0.001, begin + i * 0.14 + 0.13);
    tone.connect(volume).connect(context.destination);
    tone.start(begin + i * 0.14);
    tone.stop(begin + i * 0.14 + 0.14);
  });
}
