// The picture: three panes (price with footprint, delta, CVD) on one time axis.

import { CandlestickSeries, CrosshairMode, HistogramSeries, createChart } from "./vendor/lightweight-charts.standalone.production.mjs";
import { CandlesView } from "./candles.js";
import { Marks, signed } from "./marks.js";
import { palette } from "./palette.js";

const PANES = [62, 15, 23]; // shares of the height
const FOOTPRINT_PX = 92; // width of a bar with numbers
const FOOTPRINT_NARROW_PX = 74; // the same on a phone
const OVERVIEW_PX = 8;
const MOST_UPDATES = 50; // more bars than this in one frame are drawn anew as a whole

/**
 * element   where to draw
 * settings  {rules, zone()}: rules of imbalances, name of the time zone shown
 * on        {hover(bar or null), view(), layout()}: crosshair moved; another part of time is shown; panes have other heights
 */
export class Chart {
  constructor(element, settings, on) {
    this.element = element;
    this.settings = settings;
    this._onLayout = on.layout;
    this.store = null;
    this.palette = palette();
    const chart = createChart(element, {
      autoSize: true,
      crosshair: { mode: CrosshairMode.Normal },
      rightPriceScale: { minimumWidth: 68, entireTextOnly: true },
      timeScale: { timeVisible: true, rightOffset: 2, minBarSpacing: 0.5, barSpacing: this._footprintPx(), lockVisibleTimeRangeOnResize: false },
      localization: { timeFormatter: (time) => this._time(time, true) },
    });
    this._chart = chart;
    this._view = new CandlesView(this);
    this._price = chart.addCustomSeries(this._view, { priceLineVisible: true, lastValueVisible: true }, 0);
    this._delta = chart.addSeries(HistogramSeries, { priceLineVisible: false, priceFormat: contracts() }, 1);
    this._cvd = chart.addSeries(CandlestickSeries, { priceLineVisible: false, priceFormat: contracts(), borderVisible: false }, 2);
    this.marks = [
      [this._price, "price"],
      [this._delta, "delta"],
      [this._cvd, "cvd"],
    ].map(([series, kind]) => {
      const marks = new Marks(this, kind);
      series.attachPrimitive(marks);
      return marks;
    });
    this._price.priceScale().applyOptions({ scaleMargins: { top: 0.1, bottom: 0.07 } });
    this._delta.priceScale().applyOptions({ scaleMargins: { top: 0.36, bottom: 0.18 } });
    this._cvd.priceScale().applyOptions({ scaleMargins: { top: 0.16, bottom: 0.1 } });
    chart.subscribeCrosshairMove(({ logical, point }) => on.hover(point && this.store ? this.store.barAt(Math.round(logical ?? 0)) : null));
    chart.timeScale().subscribeVisibleLogicalRangeChange(() => on.view());
    this.setTick(0.25); // until the service says otherwise
    this.dress();
    new ResizeObserver(() => requestAnimationFrame(this._onLayout)).observe(element);
  }

  get rules() {
    return this.settings.rules;
  }

  cellsOf = (bar) => this.store.cellsOf(bar);

  /** Take the colours and the clock of the page anew. */
  dress() {
    const colors = (this.palette = palette());
    const seconds = this.store?.seconds ?? 60;
    this._chart.applyOptions({
      layout: {
        background: { color: colors.paper },
        textColor: colors.muted,
        fontFamily: colors.font,
        fontSize: 11,
        attributionLogo: true,
        panes: { separatorColor: colors.line, separatorHoverColor: colors.grid, enableResize: true },
      },
      grid: { vertLines: { color: colors.grid }, horzLines: { color: colors.grid } },
      rightPriceScale: { borderColor: colors.line },
      timeScale: { borderColor: colors.line, secondsVisible: seconds < 60, tickMarkFormatter: (time) => this._time(time, false) },
    });
    this._cvd.applyOptions({ upColor: colors.up, downColor: colors.down, wickUpColor: colors.up, wickDownColor: colors.down });
    if (this.store) this.show(this.store);
  }

  /** Draw a store from scratch. */
  show(store) {
    const isNew = store !== this.store;
    this.store = store;
    const price = [];
    const delta = [];
    const cvd = [];
    for (const slot of store.slots) {
      const items = this._items(slot);
      price.push(items[0]);
      delta.push(items[1]);
      cvd.push(items[2]);
    }
    this._price.setData(price);
    this._delta.setData(delta);
    this._cvd.setData(cvd);
    this._newest = store.slots.length - 1; // the last place drawn
    if (isNew) {
      this._chart.timeScale().applyOptions({ secondsVisible: (store.seconds ?? 60) < 60 });
      requestAnimationFrame(() => {
        this._chart.panes().forEach((pane, i) => pane.setStretchFactor(PANES[i])); // before the first frame they would not be heeded
        requestAnimationFrame(this._onLayout);
      });
    }
  }

  setTick(tickSize) {
    this.tickSize = tickSize;
    const precision = Math.min(8, Math.max(0, (String(tickSize).split(".")[1] ?? "").length));
    this._price.applyOptions({ priceFormat: { type: "price", precision, minMove: tickSize } });
  }

  /** Draw the bars that changed. */
  apply(changes) {
    if (!this.store) return;
    if (changes.size > MOST_UPDATES) {
      this.show(this.store);
      return;
    }
    for (const bar of [...changes].sort((a, b) => a.slot - b.slot)) {
      const [price, delta, cvd] = this._items(this.store.slots[bar.slot]);
      const isOld = bar.slot < this._newest;
      this._newest = Math.max(this._newest, bar.slot);
      this._price.update(price, isOld);
      this._delta.update(delta, isOld);
      this._cvd.update(cvd, isOld);
    }
  }

  /** Bars as wide as numbers need, or many of them. */
  toggleFootprint() {
    const spacing = this._chart.timeScale().options().barSpacing;
    this._setSpacing(spacing < this._footprintPx() * 0.7 ? this._footprintPx() : OVERVIEW_PX);
  }

  zoom(factor) {
    this._setSpacing(this._chart.timeScale().options().barSpacing * factor);
  }

  scroll(bars) {
    const scale = this._chart.timeScale();
    scale.scrollToPosition(scale.scrollPosition() + bars, false);
  }

  toNow() {
    this._chart.timeScale().scrollToRealTime();
    for (const series of [this._price, this._delta, this._cvd]) series.priceScale().applyOptions({ autoScale: true });
  }

  toggleScale() {
    const scale = this._price.priceScale();
    scale.applyOptions({ autoScale: !scale.options().autoScale });
  }

  /** Places shown, [from, to]. */
  get range() {
    const range = this._chart.timeScale().getVisibleLogicalRange();
    return range && this.store ? [Math.max(0, Math.floor(range.from)), Math.min(this.store.slots.length - 1, Math.ceil(range.to))] : null;
  }

  /** Where the panes begin, in pixels from the top. */
  get tops() {
    let top = 0;
    return this._chart.panes().map((pane) => {
      const own = top;
      top += pane.getHeight() + 1;
      return own;
    });
  }

  get hasCells() {
    return this._view.drawn.mode !== "candles";
  }

  /** What stood on the canvas after the last frame. */
  get drawn() {
    const { mode, perRow, bars } = this._view.drawn;
    return { mode, perRow, bars, gaps: this.marks[0].drawn.gaps, sessions: this.marks[0].drawn.sessions, divergences: this.marks[0].drawn.divergences };
  }

  /** Draw again, with the same data. */
  refresh() {
    this.marks.forEach((marks) => marks.requestUpdate?.());
  }

  // --- the work

  _footprintPx() {
    return this.element.clientWidth < 600 ? FOOTPRINT_NARROW_PX : FOOTPRINT_PX;
  }

  _setSpacing(px) {
    this._chart.timeScale().applyOptions({ barSpacing: Math.max(0.5, Math.min(px, this.element.clientWidth / 2)) });
  }

  _items({ t, bar }) {
    if (!bar) return [{ time: t }, { time: t }, { time: t }];
    const { row } = bar;
    const { up, down, rgb } = this.palette;
    const color = row.close >= row.open ? up : down;
    const tone = row.delta >= 0 ? "up" : "down";
    const hasDelta = row.delta !== null && row.delta !== undefined;
    const hasCvd = row.cvd !== null && row.cvd !== undefined;
    const open = row.cvd_open ?? row.cvd;
    return [
      { time: t, bar, row, color },
      hasDelta ? { time: t, value: row.delta, color: row.complete ? this.palette[tone] : `rgba(${rgb[tone]}, 0.5)` } : { time: t },
      hasCvd ? { time: t, open, high: row.cvd_high ?? Math.max(open, row.cvd), low: row.cvd_low ?? Math.min(open, row.cvd), close: row.cvd } : { time: t },
    ];
  }

  /** Of a place on the axis: its bar's own start, in the zone shown. */
  _time(time, isLong) {
    const slot = this.store?.slots[this._chart.timeScale().timeToIndex(time, true) ?? -1];
    const date = new Date(slot?.bar ? slot.bar.row.time : time * 1000);
    return (isLong ? this.settings.long() : this.settings.short(this.store?.seconds ?? null)).format(date);
  }
}

function contracts() {
  return { type: "custom", minMove: 1, formatter: (value) => signed(Math.round(value)) };
}
