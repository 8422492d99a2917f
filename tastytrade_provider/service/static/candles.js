// The price series: candles, which become footprints where there is room. A custom series of lightweight-charts.

import { customSeriesDefaultOptions } from "./vendor/lightweight-charts.standalone.production.mjs";
import { read } from "./reading.js";

const CELLS_PX = 18; // bars as wide as this show volume by price, in colour
const LEAST_FONT_PX = 9;
const MOST_FONT_PX = 12;
const ROW_PX = 13; // rows at least as high as this where they hold numbers
const COLOUR_ROW_PX = 4;
const PER_ROW = [1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 200, 250, 400, 500, 1000];

/** `host`: {palette, rules, tickSize, cellsOf(bar)}, asked whenever something is drawn. */
export class CandlesView {
  constructor(host) {
    this.host = host;
    this.drawn = { mode: "candles", perRow: 0, bars: [] }; // what stood on the canvas after the last frame
    this._data = null;
  }

  renderer() {
    return { draw: (target, toY) => this._draw(target, toY) };
  }

  update(data) {
    this._data = data;
  }

  priceValueBuilder({ row }) {
    return [row.low, row.high, row.close];
  }

  isWhitespace(item) {
    return item.row === undefined;
  }

  defaultOptions() {
    return { ...customSeriesDefaultOptions };
  }

  // --- the work

  _draw(target, toY) {
    const data = this._data;
    if (!data?.visibleRange || data.bars.length === 0) {
      this.drawn = { mode: "candles", perRow: 0, bars: [] };
      return;
    }
    const { from, to } = data.visibleRange;
    const bars = data.bars.slice(Math.max(0, from), to);
    const width = data.barSpacing * data.conflationFactor;
    const shown = width >= CELLS_PX ? this._lay(bars, toY, width) : null;
    target.useMediaCoordinateSpace((scope) => {
      this._paint(scope.context, bars, toY, width, shown);
    });
  }

  /** How high rows are, and whether numbers fit into them. */
  _lay(bars, toY, width) {
    const { tickSize, rules, cellsOf } = this.host;
    const price = bars.at(-1).originalData.row.close;
    const tickPx = Math.abs(toY(price) - toY(price + tickSize));
    if (!(tickPx > 0)) return null;
    const inner = cellsBox(width);
    const perRowOf = (px) => PER_ROW.find((n) => n * tickPx >= px) ?? PER_ROW.at(-1);
    let perRow = perRowOf(ROW_PX);
    let readings = bars.map(({ originalData: { bar } }) => reading(cellsOf(bar), tickSize, perRow, rules));
    let most = 1;
    for (const each of readings) if (each) for (let i = 0; i < each.ticks.length; i++) most = Math.max(most, each.sold[i], each.bought[i]);
    const digits = text(most).length;
    const rowPx = perRow * tickPx;
    const font = Math.min(MOST_FONT_PX, Math.floor(rowPx - 2), Math.floor((inner.width / 2 - 4) / (digits * this.host.palette.digit)));
    const hasNumbers = font >= LEAST_FONT_PX;
    if (!hasNumbers) {
      perRow = perRowOf(COLOUR_ROW_PX);
      readings = bars.map(({ originalData: { bar } }) => reading(cellsOf(bar), tickSize, perRow, rules));
      most = 1;
      for (const each of readings) if (each) for (let i = 0; i < each.ticks.length; i++) most = Math.max(most, each.sold[i], each.bought[i]);
    }
    return { readings, perRow, most, font, hasNumbers, tickPx, inner };
  }

  _paint(context, bars, toY, width, shown) {
    const { palette, tickSize } = this.host;
    const strip = shown ? Math.max(3, Math.min(7, Math.round(width * 0.07))) : Math.max(1, Math.floor(width * 0.7));
    const drawn = [];
    if (shown?.hasNumbers) {
      context.textBaseline = "middle";
    }
    bars.forEach(({ x, originalData: { bar, row } }, i) => {
      const cells = shown?.readings[i];
      const middle = shown ? Math.round(x - width / 2 + 2 + strip / 2) : x;
      candle(context, row, toY, middle, strip, palette);
      if (cells) {
        cellsOfBar(context, cells, shown, toY, x - width / 2, tickSize, palette);
        drawn.push({ bar, reading: cells });
      }
    });
    this.drawn = { mode: shown ? (shown.hasNumbers ? "footprint" : "colours") : "candles", perRow: shown?.perRow ?? 0, bars: drawn, visible: bars.length };
  }
}

const reading = (cells, tickSize, perRow, rules) => (cells && cells.price.length ? read(cells, tickSize, perRow, rules) : null);

/** Where in a bar's place its cells lie: left edge and width. */
function cellsBox(width) {
  const strip = Math.max(3, Math.min(7, Math.round(width * 0.07)));
  const left = strip + 5;
  return { left, width: Math.max(4, width - left - 3) };
}

/** A number of contracts, short. */
export function text(volume) {
  if (volume >= 100_000) return `${Math.round(volume / 1000)}k`;
  if (volume >= 10_000) return `${(volume / 1000).toFixed(1)}k`;
  return Number.isInteger(volume) ? String(volume) : volume.toFixed(2);
}

function candle(context, row, toY, x, width, palette) {
  const isUp = row.close >= row.open;
  const color = isUp ? palette.up : palette.down;
  const [high, low, open, close] = [row.high, row.low, row.open, row.close].map((price) => toY(price));
  const left = Math.round(x - width / 2);
  const top = Math.round(Math.min(open, close));
  const height = Math.max(1, Math.round(Math.max(open, close)) - top);
  context.fillStyle = color;
  context.fillRect(Math.round(x - 0.5), Math.round(high), 1, Math.max(1, Math.round(low - high)));
  if (row.complete || width < 3) {
    context.fillRect(left, top, width, height);
  } else {
    context.fillStyle = palette.paper;
    context.fillRect(left, top, width, height);
    context.strokeStyle = color;
    context.setLineDash([2, 2]);
    context.strokeRect(left + 0.5, top + 0.5, Math.max(1, width - 1), Math.max(1, height - 1));
    context.setLineDash([]);
  }
}

/** Sold on the left, bought on the right, the stronger the more; the row of most volume framed; imbalances full of colour. */
function cellsOfBar(context, cells, shown, toY, edge, tickSize, palette) {
  const { inner, most, font, hasNumbers, perRow, tickPx } = shown;
  const left = Math.round(edge + inner.left);
  const half = Math.floor(inner.width / 2);
  const right = left + half;
  const { down, up, ink } = palette.rgb;
  cells.ticks.forEach((tick, i) => {
    const top = Math.round(toY((tick + perRow - 1) * tickSize) - tickPx / 2);
    const height = Math.max(1, Math.round(toY(tick * tickSize) + tickPx / 2) - top - 1);
    context.fillStyle = `rgba(${down}, ${shade(cells.sold[i], most, cells.sells[i])})`;
    context.fillRect(left, top, half, height);
    context.fillStyle = `rgba(${up}, ${shade(cells.bought[i], most, cells.buys[i])})`;
    context.fillRect(right, top, half, height);
    if (hasNumbers) {
      const y = top + height / 2 + 0.5;
      number(context, cells.sold[i], right - 4, y, "right", cells.sells[i], palette, font);
      number(context, cells.bought[i], right + 4, y, "left", cells.buys[i], palette, font);
    }
    if (i === cells.poc && cells.ticks.length > 1) {
      context.strokeStyle = hasNumbers ? palette.poc : `rgba(${ink}, 0.55)`;
      context.lineWidth = 1;
      context.strokeRect(left + 0.5, top + 0.5, half * 2 - 1, Math.max(1, height - 1));
    }
  });
}

const shade = (volume, most, isImbalance) => (volume === 0 ? 0.05 : isImbalance ? 0.85 : 0.1 + 0.4 * Math.sqrt(volume / most));

function number(context, volume, x, y, align, isImbalance, palette, font) {
  context.font = `${isImbalance ? 700 : 400} ${font}px ${palette.font}`;
  context.fillStyle = volume === 0 ? palette.muted : isImbalance ? palette.paper : palette.ink;
  context.textAlign = align;
  context.fillText(text(volume), x, y);
}
