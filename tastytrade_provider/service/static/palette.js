// The colours of the page's style sheet, for what is drawn on canvas.

const NAMES = ["paper", "ink", "muted", "line", "grid", "up", "down", "poc", "warn", "accent"];

/** Of a bold digit, in font sizes. */
function widthOfDigit(font) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = `700 100px ${font}`;
  return context.measureText("0").width / 100;
}

/** By name, and as "r, g, b" in `rgb`, for those that are mixed in; with the page's font. */
export function palette() {
  const style = getComputedStyle(document.documentElement);
  const found = { rgb: {}, font: getComputedStyle(document.body).fontFamily };
  found.digit = widthOfDigit(found.font);
  for (const name of NAMES) {
    found[name] = style.getPropertyValue(`--${name}`).trim();
    const hex = parseInt(found[name].slice(1), 16);
    found.rgb[name] = `${hex >> 16}, ${(hex >> 8) & 255}, ${hex & 255}`;
  }
  return found;
}
