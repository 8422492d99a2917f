// Reading a footprint at the height of row the picture has: point of control, imbalances, stacks. The rules are those of the indicators
// `footprint_bars` and `footprint_levels`, and a test holds the two against each other. Pure.

export const RULES = { ratio: 3, minVolume: 30, stack: 3 };
const MILLION = 1_000_000; // ratios are compared as whole millionths

const READ = new WeakMap(); // cells -> what was read of them last

/** Rows of `perRow` ticks, prices ascending, each named by its lowest tick: {ticks, sold, bought, unknown, poc, buys, sells}. */
export function read(cells, tickSize, perRow = 1, rules = RULES) {
  const known = READ.get(cells);
  if (known && known.perRow === perRow && known.ratio === rules.ratio && known.minVolume === rules.minVolume) return known;
  const found = { perRow, ratio: rules.ratio, minVolume: rules.minVolume, ticks: [], sold: [], bought: [], unknown: [], poc: -1, buys: [], sells: [] };
  cells.price.forEach((price, i) => {
    const row = Math.floor(Math.round(price / tickSize) / perRow) * perRow;
    let n = found.ticks.length - 1;
    if (n < 0 || found.ticks[n] !== row) {
      n = found.ticks.push(row) - 1;
      found.sold.push(0);
      found.bought.push(0);
      found.unknown.push(0);
    }
    found.sold[n] += cells.sell_volume[i];
    found.bought[n] += cells.buy_volume[i];
    found.unknown[n] += cells.unknown_volume[i];
  });
  findPoc(found);
  findImbalances(found, rules);
  READ.set(cells, found);
  return found;
}

/** Most volume; of equals the one nearest the middle of the bar, then the lower. */
function findPoc(found) {
  const { ticks, sold, bought, unknown } = found;
  const ends = ticks[0] + ticks.at(-1);
  let most = -1;
  let away = Infinity;
  ticks.forEach((tick, i) => {
    const volume = sold[i] + bought[i] + unknown[i];
    const distance = Math.abs(2 * tick - ends);
    if (volume > most || (volume === most && distance < away)) {
      most = volume;
      away = distance;
      found.poc = i;
    }
  });
}

/** Bought at a price against sold one row below, sold against bought one row above; outside the bar there is nothing to compare with. */
function findImbalances(found, { ratio, minVolume }) {
  const { ticks, sold, bought, perRow } = found;
  const least = Math.round(ratio * MILLION);
  const outweighs = (one, other) => one > 0 && one >= minVolume && one * MILLION >= least * other;
  const last = ticks.length - 1;
  for (let i = 0; i <= last; i++) {
    const below = i > 0 && ticks[i] - ticks[i - 1] === perRow ? sold[i - 1] : 0;
    const above = i < last && ticks[i + 1] - ticks[i] === perRow ? bought[i + 1] : 0;
    found.buys.push(i > 0 && outweighs(bought[i], below));
    found.sells.push(i < last && outweighs(sold[i], above));
  }
}

/** Stacks of `rules.stack` or more imbalances at consecutive prices: [{side, low, high}] with rows as indices. */
export function stacks(found, rules = RULES) {
  const made = [];
  for (const [side, flags] of [
    [1, found.buys],
    [-1, found.sells],
  ]) {
    let from = -1;
    for (let i = 0; i <= flags.length; i++) {
      const goesOn = i < flags.length && flags[i] && (from < 0 || found.ticks[i] - found.ticks[i - 1] === found.perRow);
      if (goesOn) {
        if (from < 0) from = i;
        continue;
      }
      if (from >= 0 && i - from >= rules.stack) made.push({ side, low: from, high: i - 1 });
      from = i < flags.length && flags[i] ? i : -1;
    }
  }
  return made;
}
