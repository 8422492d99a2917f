// The document: small ways to write into it.

/** Text (and class) of an element by its id; touches it only where something changed. */
export function put(id, text, className) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
  if (className !== undefined && element.className !== className) element.className = className;
}

/** A row of buttons of which one is pressed. */
export function choices(id, values, pressed, onChoice, label = (value) => value) {
  const group = document.getElementById(id);
  const shown = values.join("|");
  if (group.dataset.shown !== shown) {
    group.dataset.shown = shown;
    group.replaceChildren(
      ...values.map((value) => {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = label(value);
        button.dataset.value = value;
        button.addEventListener("click", () => onChoice(value));
        return button;
      }),
    );
  }
  for (const button of group.children) button.setAttribute("aria-pressed", String(button.dataset.value === pressed));
}

/** A legend: name and value, with a class for the value and one for both. */
export function legend(id, title, pairs) {
  const element = document.getElementById(id);
  const made = [span(title, "title")];
  for (const [name, value, className, place] of pairs) {
    const both = document.createElement("span");
    if (place) both.className = place;
    const em = document.createElement("em");
    em.textContent = `${name} `;
    both.append(em, span(value, className));
    made.push(both);
  }
  element.replaceChildren(...made);
}

function span(text, className) {
  const element = document.createElement("span");
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

/** A message over the chart; null takes it away. */
export function banner(text) {
  const element = document.getElementById("banner");
  element.hidden = text === null;
  element.textContent = text ?? "";
}
