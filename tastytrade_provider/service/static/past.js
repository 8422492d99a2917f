// What lies before the snapshot: older bars and their footprints, asked for when they come into view.

import { cellsKey } from "./store.js";

const MOST_BARS = 1_000; // of a stretch
const NEAR = 30; // places from the left end at which older bars are asked for
const PAGE = 5_000;
const MOST_TRIES = 4; // stretches of 1, 4, 16 and 64 times the first: over a long weekend
const MOST_CELLS = 200;
const HOUR_MS = 3_600_000;
const DAYS = { d: 1, w: 7, mo: 31 };

const iso = (ms) => new Date(ms).toISOString();

/** How far back to ask at first, in ms: some bars, an hour at least; a day of those made of trades. */
function spanOf(timeframe, seconds) {
  if (seconds) return Math.max(HOUR_MS, seconds * MOST_BARS * 1_000);
  const [, n, unit] = /^(\d+)([a-z]+)$/.exec(timeframe);
  return 24 * HOUR_MS * (unit in DAYS ? Math.min(1_500, n * DAYS[unit] * MOST_BARS) : 1);
}

/** `get(path)` answers JSON; `found(store, changes)` is told what came. */
export class Past {
  constructor(get, found) {
    this._get = get;
    this._found = found;
    this._store = null;
    this._busy = false;
  }

  begin(store, symbol) {
    this._store = store;
    this._symbol = symbol;
    this._end = false;
    this._asked = new Set();
  }

  /** Places [from, to] are shown; `hasCells`: with footprints. */
  async look(from, to, hasCells) {
    const store = this._store;
    if (!store || this._busy || store.bars.length === 0) return;
    this._busy = true;
    try {
      if (from < NEAR && !this._end) await this._older(store);
      else if (hasCells) await this._cells(store, from, to);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      // the service is away, which the WebSocket notices and shows: asked again when the picture moves next
    } finally {
      this._busy = false;
    }
  }

  /** Bars before the first: a stretch of them, and where there are none (a weekend) longer ones before that. */
  async _older(store) {
    let end = Date.parse(store.bars[0].row.time);
    let span = spanOf(store.timeframe, store.seconds);
    for (let tries = 0; tries < MOST_TRIES; tries++, span *= 4) {
      const rows = await this._bars(store, end - span, end);
      if (this._store !== store || rows === null) return;
      end -= span;
      if (store.prepend(rows) > 0) {
        this._found(store, "all");
        return;
      }
    }
    this._end = true;
  }

  /** All closed bars that start in [start, end), page by page; null where they are refused. */
  async _bars(store, start, end) {
    const rows = [];
    const query = new URLSearchParams({ timeframe: store.timeframe, start: iso(start), end: iso(end), limit: String(PAGE) });
    for (;;) {
      const answer = await this._get(`api/delta/${this._symbol}/history?${query}`);
      if (answer === null) return null;
      rows.push(...answer.bars.filter((row) => row.open !== null));
      if (answer.next === null) return rows;
      query.set("cursor", answer.next);
    }
  }

  async _cells(store, from, to) {
    const wanted = [];
    for (let slot = from; slot <= to; slot++) {
      const bar = store.slots[slot]?.bar;
      if (bar && !store.cellsOf(bar) && !this._asked.has(cellsKey(bar.row))) wanted.push(bar);
    }
    if (wanted.length === 0) return;
    const last = wanted.slice(0, MOST_CELLS).at(-1).row.time;
    const end = iso(Date.parse(last) + 1);
    for (const bar of wanted.slice(0, MOST_CELLS)) this._asked.add(cellsKey(bar.row));
    const query = new URLSearchParams({ timeframe: store.timeframe, start: wanted[0].row.time, end, limit: String(MOST_CELLS) });
    const answer = await this._get(`api/delta/${this._symbol}/footprint?${query}`);
    if (!answer || this._store !== store) return;
    for (const cells of answer.bars) store.addCells(cells);
    if (answer.bars.length > 0) this._found(store, "cells");
  }
}
