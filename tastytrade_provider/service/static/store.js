// What the service said of one contract and timeframe, ready to be drawn: bars, footprints, gaps, and their places on the time axis. Pure.

const LENGTHS = { s: 1, m: 60, h: 3600 };
const MOST_EMPTY = 60; // places on the axis a gap takes at most: a longer one is drawn shorter, and its label says how long it was
export const SIGNALS = ["regular", "hidden", "absorption"];

/** Seconds of a timeframe; null for those without a fixed length ("1d", "133t"). */
export function seconds(timeframe) {
  const match = /^(\d+)([smh])$/.exec(timeframe);
  return match ? Number(match[1]) * LENGTHS[match[2]] : null;
}

const isOfTrades = (timeframe) => /[tvr]$/.test(timeframe);
const at = (iso) => Date.parse(iso) / 1000;
export const cellsKey = (row) => `${row.time}#${row.bar_no}`;

/** A bar: what the service sent (`row`), its time on the axis (`t`), its place there (`slot`), whether it is closed. */
class Bar {
  constructor(key, row, closed) {
    this.key = key;
    this.row = row;
    this.closed = closed;
    this.t = 0;
    this.slot = -1;
  }
}

export class Store {
  constructor(timeframe) {
    this.timeframe = timeframe;
    this.seconds = seconds(timeframe);
    this.bars = [];
    this.slots = []; // {t, bar}: bar null where a gap left an empty place
    this.gaps = [];
    this.sessions = []; // {slot, label}: where a session begins
    this.divergences = [];
    this.counts = []; // {slot}: bars within a session from which CVD counts anew
    this.cells = new Map(); // by cellsKey
    this._since = new Set();
    this._byKey = new Map();
  }

  get last() {
    return this.bars.at(-1) ?? null;
  }

  /** The store a snapshot makes. */
  static of(snapshot) {
    const made = new Store(snapshot.timeframe);
    for (const row of snapshot.bars) made._insert(row, true);
    if (snapshot.forming) made._insert(snapshot.forming.bar, false);
    for (const gap of snapshot.gaps) made._addGap(gap);
    for (const cells of snapshot.footprints ?? []) made.cells.set(cellsKey(cells), cells);
    if (snapshot.forming?.cvd.since) made._since.add(snapshot.forming.cvd.since);
    made._place();
    return made;
  }

  /** Older bars, as the history gives them. */
  prepend(rows) {
    const known = this.bars.length;
    for (const row of rows) if (!this._byKey.has(this._keyOf(row))) this._insert(row, true);
    if (this.bars.length !== known) this._place();
    return this.bars.length - known;
  }

  /** One bar. Returns the bar where only it changed, "all" where places changed, null where nothing did. */
  update(row, closed) {
    const known = this._byKey.get(this._keyOf(row));
    if (row.open === null) return known ? this._remove(known) : null;
    if (known) {
      if (known.closed && !closed) return null; // a forming bar that was overtaken
      const moved = known.row.time !== row.time;
      known.row = row;
      known.closed = closed;
      if (moved) return this._place();
      if (closed) this._findDivergences();
      return known;
    }
    const before = this.last;
    const bar = this._insert(row, closed);
    const end = this.slots.at(-1);
    if (bar !== this.last || (end && this._timeOf(bar, before) <= end.t)) return this._place();
    this._put(bar, before);
    for (const gap of this.gaps) if (gap.endS > at(row.time)) this._locate(gap);
    if (closed) this._findDivergences();
    return bar;
  }

  addCells(cells) {
    this.cells.set(cellsKey(cells), cells);
    const key = cellsKey(cells);
    return this.bars.findLast((bar) => cellsKey(bar.row) === key) ?? null;
  }

  addGap(gap) {
    this._addGap(gap);
    return this._place();
  }

  /** CVD counts from the bar that starts then. Returns whether that is new. */
  countFrom(since) {
    if (!since || this._since.has(since)) return false;
    this._since.add(since);
    return true;
  }

  cellsOf(bar) {
    return this.cells.get(cellsKey(bar.row)) ?? null;
  }

  /** The bar at a place, or the nearest one before it. */
  barAt(slot) {
    for (let i = Math.min(slot, this.slots.length - 1); i >= 0; i--) if (this.slots[i].bar) return this.slots[i].bar;
    return null;
  }

  // --- the work

  /** What a repair does not change: the start, or the number in the session where trades make bars. */
  _keyOf(row) {
    return isOfTrades(this.timeframe) ? `${row.session}#${row.bar_no}` : row.time;
  }

  _insert(row, closed) {
    const bar = new Bar(this._keyOf(row), row, closed);
    let place = this.bars.length;
    const start = at(row.time);
    while (place > 0) {
      const other = this.bars[place - 1].row;
      const otherStart = at(other.time);
      if (otherStart < start || (otherStart === start && other.bar_no < row.bar_no)) break;
      place--;
    }
    this.bars.splice(place, 0, bar);
    this._byKey.set(bar.key, bar);
    return bar;
  }

  _remove(bar) {
    this.bars.splice(this.bars.indexOf(bar), 1);
    this._byKey.delete(bar.key);
    return this._place();
  }

  _addGap(gap) {
    const known = this.gaps.findIndex((each) => each.start === gap.start && each.symbol === gap.symbol);
    const made = { ...gap, from: -1, to: -1, startS: at(gap.start), endS: at(gap.end) };
    if (known >= 0) this.gaps[known] = made;
    else this.gaps.push(made);
  }

  /** Times on the axis are whole seconds, each once: bars made of trades that begin within the same second stand one after the other. */
  _timeOf(bar, before) {
    const start = Math.floor(at(bar.row.time));
    return before ? Math.max(start, before.t + 1) : start;
  }

  _put(bar, before) {
    bar.t = this._timeOf(bar, before);
    bar.slot = this.slots.length;
    this.slots.push({ t: bar.t, bar });
    if (before && before.row.session !== bar.row.session) this.sessions.push({ slot: bar.slot, label: bar.row.session });
    else if (before && this._since.has(bar.row.time)) this.counts.push({ slot: bar.slot });
  }

  _place() {
    this.slots = [];
    this.sessions = [];
    this.counts = [];
    let before = null;
    for (const bar of this.bars) {
      if (before && this.seconds) this._leaveOpen(before.t, Math.floor(at(bar.row.time)));
      this._put(bar, before);
      before = bar;
    }
    if (before && this.seconds) this._leaveOpen(before.t, Infinity);
    for (const gap of this.gaps) this._locate(gap);
    this._findDivergences();
    return "all";
  }

  /** Empty places between two bars where a gap lies there. */
  _leaveOpen(from, to) {
    for (const gap of this.gaps) {
      if (gap.filled || gap.endS <= from || gap.startS >= to) continue;
      const times = [];
      for (let t = from + this.seconds; t < Math.min(to, gap.endS); t += this.seconds) if (t + this.seconds > gap.startS) times.push(t);
      const step = Math.ceil(times.length / MOST_EMPTY);
      for (let i = 0; i < times.length; i += step) if (times[i] > this.slots.at(-1).t) this.slots.push({ t: times[i], bar: null });
    }
  }

  _locate(gap) {
    gap.from = gap.to = -1;
    this.slots.forEach((slot, i) => {
      const start = slot.bar ? at(slot.bar.row.time) : slot.t;
      const end = slot.bar?.row.end ? at(slot.bar.row.end) : start + (this.seconds ?? 0);
      if (end > gap.startS && start < gap.endS) {
        if (gap.from < 0) gap.from = i;
        gap.to = i;
      }
    });
  }

  _findDivergences() {
    this.divergences = [];
    this.bars.forEach((bar, i) => {
      for (const kind of SIGNALS) {
        const direction = bar.row[kind];
        if (!direction || !bar.closed) continue;
        const pivot = this.bars[i - bar.row.pivot_offset];
        const before = this.bars[i - bar.row.prev_pivot_offset];
        this.divergences.push({ kind, direction, bar, pivot: pivot ?? null, before: before ?? null, strength: bar.row.strength });
      }
    });
  }
}
