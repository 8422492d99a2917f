// What lies over and under the series: gaps, sessions, divergences, numbers at the delta columns. A primitive of lightweight-charts for each pane.

const LABEL_PX = 11;
const DASHES = { regular: [], hidden: [6, 4], absorption: [2, 3] };
const DELTA_LABEL_PX = 44; // bars as wide as this have their delta written at the column
const TRIANGLE_PX = 6;

/** `host`: {palette, store}; `kind`: "price", "delta" or "cvd". */
export class Marks {
  constructor(host, kind) {
    this.host = host;
    this.kind = kind;
    this.drawn = { gaps: [], sessions: [], divergences: [] };
    this._under = { zOrder: () => "bottom", renderer: () => ({ draw: (target) => this._draw(target, (...given) => this._drawUnder(...given)) }) };
    this._over = { zOrder: () => "normal", renderer: () => ({ draw: (target) => this._draw(target, (...given) => this._drawOver(...given)) }) };
  }

  attached({ chart, series, requestUpdate }) {
    this._scale = chart.timeScale();
    this._series = series;
    this.requestUpdate = requestUpdate;
  }

  detached() {
    this._series = null;
  }

  updateAllViews() {}

  paneViews() {
    return [this._under, this._over];
  }

  // --- the work

  _draw(target, paint) {
    const range = this._scale.getVisibleLogicalRange();
    if (!range || !this.host.store) return;
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      context.save();
      context.font = `${LABEL_PX}px ${this.host.palette.font}`;
      paint(context, mediaSize, Math.floor(range.from) - 1, Math.ceil(range.to) + 1);
      context.restore();
    });
  }

  _x(slot) {
    return this._scale.logicalToCoordinate(slot) ?? 0;
  }

  _drawUnder(context, size, from, to) {
    const { store, palette } = this.host;
    const half = this._scale.options().barSpacing / 2;
    this.drawn.gaps = store.gaps.filter((gap) => gap.from >= 0 && gap.to >= from && gap.from <= to);
    for (const gap of this.drawn.gaps) {
      const left = this._x(gap.from) - half;
      const right = this._x(gap.to) + half;
      if (gap.filled) this._bracket(context, left, right, palette);
      else this._hatch(context, left, right, size, palette);
      if (this.kind === "price") this._gapLabel(context, gap, left, right, size, palette);
    }
    this.drawn.sessions = store.sessions.filter(({ slot }) => slot >= from && slot <= to);
    for (const { slot, label } of this.drawn.sessions) {
      const x = this._line(context, this._x(slot) - half, size, [4, 3], palette);
      if (this.kind === "price") this._label(context, `session ${label}`, x + 4, size.height - 8, palette.muted, palette);
    }
    if (this.kind !== "cvd") return;
    for (const { slot } of store.counts) {
      if (slot < from || slot > to) continue;
      const x = this._line(context, this._x(slot) - half, size, [1, 3], palette);
      const width = context.measureText("from here").width;
      this._label(context, "from here", Math.min(x + 4, size.width - width - 4), size.height - 8, palette.muted, palette);
    }
  }

  _line(context, x, size, dashes, palette) {
    const at = Math.round(x) + 0.5;
    context.strokeStyle = palette.muted;
    context.setLineDash(dashes);
    context.beginPath();
    context.moveTo(at, 0);
    context.lineTo(at, size.height);
    context.stroke();
    context.setLineDash([]);
    return at;
  }

  _hatch(context, left, right, size, palette) {
    context.fillStyle = `rgba(${palette.rgb.warn}, 0.09)`;
    context.fillRect(left, 0, right - left, size.height);
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, size.height);
    context.clip();
    context.strokeStyle = `rgba(${palette.rgb.warn}, 0.35)`;
    context.lineWidth = 1;
    context.beginPath();
    for (let x = left - size.height - (left % 9); x < right; x += 9) {
      context.moveTo(x, size.height);
      context.lineTo(x + size.height, 0);
    }
    context.stroke();
    context.restore();
  }

  _bracket(context, left, right, palette) {
    context.fillStyle = palette.warn;
    context.fillRect(left, 0, Math.max(2, right - left), 2);
  }

  _gapLabel(context, gap, left, right, size, palette) {
    const seconds = gap.endS - gap.startS;
    const length = seconds >= 90 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds * 10) / 10} s`;
    const said = gap.filled ? `refilled, ${length}` : `gap ${length}: ${gap.reason}`;
    const width = context.measureText(said).width;
    const x = Math.max(4, Math.min((left + right - width) / 2, size.width - width - 6));
    this._label(context, said, x, 30, palette.warn, palette);
  }

  _label(context, said, x, y, color, palette) {
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = 4;
    context.strokeStyle = palette.paper; // so that it can be read over candles
    context.strokeText(said, x, y);
    context.lineWidth = 1;
    context.fillStyle = color;
    context.fillText(said, x, y);
  }

  _drawOver(context, size, from, to) {
    if (this.kind === "delta") this._drawDeltas(context, size, from, to);
    else this._drawDivergences(context, size, from, to);
  }

  _drawDeltas(context, size, from, to) {
    const { store, palette } = this.host;
    if (this._scale.options().barSpacing < DELTA_LABEL_PX) return;
    context.textAlign = "center";
    for (let slot = Math.max(0, from); slot <= Math.min(to, store.slots.length - 1); slot++) {
      const delta = store.slots[slot].bar?.row.delta;
      if (delta === null || delta === undefined) continue;
      const y = this._series.priceToCoordinate(delta);
      if (y === null || this._x(slot) < DELTA_LABEL_PX / 2) continue;
      const isUp = delta >= 0;
      context.fillStyle = palette.ink;
      context.textBaseline = isUp ? "bottom" : "top";
      const place = isUp ? Math.max(LABEL_PX + 2, y - 2) : Math.min(size.height - LABEL_PX - 2, y + 3);
      context.fillText(signed(delta), this._x(slot), place);
    }
  }

  _drawDivergences(context, size, from, to) {
    const { store, palette } = this.host;
    const isPrice = this.kind === "price";
    this.drawn.divergences = [];
    for (const found of store.divergences) {
      const { kind, direction, bar, pivot, before } = found;
      if (bar.slot < from || (before ?? bar).slot > to) continue;
      this.drawn.divergences.push(found);
      const color = direction > 0 ? palette.up : palette.down;
      if (pivot && before) {
        const value = ({ row }) => (isPrice ? (direction > 0 ? row.low : row.high) : row.cvd);
        const [y0, y1] = [value(before), value(pivot)].map((each) => (each === null ? null : this._series.priceToCoordinate(each)));
        if (y0 !== null && y1 !== null) {
          context.strokeStyle = color;
          context.lineWidth = 2;
          context.setLineDash(DASHES[kind]);
          context.beginPath();
          context.moveTo(this._x(before.slot), y0);
          context.lineTo(this._x(pivot.slot), y1);
          context.stroke();
          context.setLineDash([]);
        }
      }
      if (isPrice) this._triangle(context, found, size, color, palette);
    }
  }

  /** At the bar that confirmed it: when it could be known. */
  _triangle(context, { kind, direction, bar }, size, color, palette) {
    const edge = this._series.priceToCoordinate(direction > 0 ? bar.row.low : bar.row.high);
    if (edge === null) return;
    const x = this._x(bar.slot);
    const tip = edge + direction * 10;
    const base = tip + direction * TRIANGLE_PX * 1.6;
    context.fillStyle = color;
    context.beginPath();
    context.moveTo(x, tip);
    context.lineTo(x - TRIANGLE_PX, base);
    context.lineTo(x + TRIANGLE_PX, base);
    context.fill();
    const width = context.measureText(kind).width;
    this._label(context, kind, Math.min(x - width / 2, size.width - width - 6), base + direction * 10, color, palette);
  }
}

const GROUPED = new Intl.NumberFormat("en-US", { maximumFractionDigits: 8 }); // made once: it costs twenty times as much to make as to use

/** Thousands kept apart. */
export const grouped = (value) => GROUPED.format(value);

/** The same with its sign. */
export function signed(value) {
  const told = grouped(Math.abs(value));
  return value > 0 ? `+${told}` : value < 0 ? `\u2212${told}` : told;
}
