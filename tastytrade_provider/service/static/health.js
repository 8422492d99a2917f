// The strip below the chart: what the feed says of itself, once a second.

import { put } from "./dom.js";
import { grouped } from "./marks.js";

const SOURCES = ["exchange", "quote", "tick", "none"];

/** `status` as the service sends it, `market` the name of the contract watched, `settings` for times. */
export function showHealth(status, market, settings, ownReconnects) {
  const contract = status.contracts.find((each) => each.market === market);
  const state = status.state === "connected" ? (status.ready ? "good" : "warn") : status.state === "ended" ? "warn" : "bad";
  document.getElementById("dot").className = state;
  put("state", status.state);
  put("reason", status.state === "connected" && status.playback?.state !== "paused" ? status.reason ?? "" : ""); // the strip above says that it is paused
  put("source", [status.delta_source, status.token_level].filter(Boolean).join(" \u00b7 ") || status.provider);
  put("lag", status.lag_ms === null ? "\u2013" : status.lag_ms >= 10_000 ? `${grouped(Math.round(status.lag_ms / 1000))} s` : `${Math.round(status.lag_ms)} ms`);
  put("rate", `${Math.round(status.rate)}/s`);
  put("trades", contract ? grouped(contract.trades) : "\u2013");
  put("gaps", String(status.gap_count), status.gap_count > 0 ? "down" : "");
  put("reconnects", `${status.reconnects} feed, ${ownReconnects} page`);
  put("since", contract?.complete_since ? settings.clock().format(new Date(contract.complete_since)) : "\u2013");
  put("zone", settings.zoneName);
  showShares(contract?.shares ?? {});
}

function showShares(shares) {
  const told = [];
  for (const name of SOURCES) {
    const share = shares[name] ?? 0;
    document.querySelector(`#bar .${name}`).style.width = `${share * 100}%`;
    if (share > 0) told.push(`${name} ${percent(share)}`);
  }
  put("shares", told.join(", ") || "no trade yet");
}

/** Never "100 %" of what is not all. */
function percent(share) {
  const shown = share * 100;
  if (shown > 99.95 && shown < 100) return "> 99.9 %";
  if (shown < 0.05) return "< 0.1 %";
  return `${shown.toFixed(shown === 100 ? 0 : 1)} %`;
}
