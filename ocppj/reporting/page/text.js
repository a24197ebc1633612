// Small helpers. All that a peer has sent comes into the page as text, by `make` and `shown`.

const byId = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((each) => each !== null && each !== ""));
  return element;
}

function draw(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Characters that do not show, or that turn the direction of the text around them.
const UNSEEN = new RegExp(
  [
    "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f]",
    "[\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb]",
    "[\\u{e0000}-\\u{e0fff}]",
    "\\p{Cs}", // half of a pair of surrogates
  ].join("|"),
  "gu",
);

function shown(text) {
  return String(text).replace(UNSEEN, (each) => {
    const code = each.codePointAt(0);
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

const two = (number) => String(number).padStart(2, "0");

// The time of frames is 0 where the log does not say it.
function clock(time, digits = 3) {
  if (!time) return "no time";
  const moment = new Date(time / 1000);
  if (Number.isNaN(moment.getTime())) return "?";
  const fraction = digits ? "." + String(moment.getUTCMilliseconds()).padStart(3, "0") : "";
  return `${two(moment.getUTCHours())}:${two(moment.getUTCMinutes())}:${two(moment.getUTCSeconds())}${fraction}`;
}

function day(time) {
  if (!time) return "";
  const moment = new Date(time / 1000);
  return Number.isNaN(moment.getTime()) ? "?" : moment.toISOString().slice(0, 10);
}

const dayAndTime = (time, digits = 0) => `${day(time)} ${clock(time, digits)}`.trim();

function length(seconds) {
  if (seconds < 0.0095) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 120) return `${whole} s`;
  const both = (size, unit, part, name) =>
    `${Math.floor(whole / size)} ${unit}` +
    (whole % size >= part ? ` ${Math.floor((whole % size) / part)} ${name}` : "");
  if (whole < 7200) return both(60, "min", 1, "s");
  if (whole < 172800) return both(3600, "h", 60, "min");
  return both(86400, "d", 3600, "h");
}

const count = (number) => number.toLocaleString("en-US");
const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;
