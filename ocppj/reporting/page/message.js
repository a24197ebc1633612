// The details of one message.

let isRaw = false;

async function open(row) {
  opened = row;
  await pieceOf(Math.floor(row / facts.piece));
  if (opened !== row) return;
  const text = textOf(row),
    latency = latencyOf(row),
    partner = partnerOf(row);
  const wrong = faultsOf(row);
  if (unsent.has(row)) wrong.push("the write failed: it was not sent, or not whole");
  if (unanswered.has(row)) wrong.push("it has got no answer");
  const details = byId("details");
  const wasHidden = details.hidden;
  details.hidden = false;
  details.replaceChildren(
    make(
      "header",
      {},
      make("h2", {}, titleOf(row)),
      make("button", { type: "button", "aria-label": "Close the message", onclick: close }, "\u00d7"),
    ),
    makeFacts(row, latency),
    wrong.length
      ? make(
          "ul",
          { class: "faults", "aria-label": "What is wrong" },
          ...wrong.map((each) => make("li", {}, shown(each))),
        )
      : "",
    isEvent(row)
      ? ""
      : make(
          "div",
          { class: "actions" },
          partner >= 0
            ? make(
                "button",
                { type: "button", onclick: () => showRow(partner) },
                isAnswer(row) ? "Its call" : "Its answer",
              )
            : "",
          make(
            "button",
            {
              type: "button",
              id: "raw",
              "aria-pressed": String(isRaw),
              onclick: () => {
                isRaw = !isRaw;
                open(row).then(() => byId("raw").focus());
              },
            },
            "Raw",
          ),
          make("button", { type: "button", onclick: (event) => copy(text, event.currentTarget) }, "Copy"),
        ),
    isEvent(row)
      ? ""
      : make(
          "pre",
          { tabindex: "0", "aria-label": "The text of the message" },
          ...(isRaw ? [shown(text)] : pretty(text)),
        ),
  );
  if (wasHidden) scrollToActive(false);
  else drawList();
}

function titleOf(row) {
  const kind = kindOf(row),
    action = shown(actionOf(row));
  if (isEvent(row)) return kind[0] + kind.slice(1).toLowerCase();
  return [
    kind === "TEXT" ? "Not a message" : kind,
    kind === "ERROR" || kind === "RESULTERROR" ? shown(labelOf(row)) : action,
  ]
    .filter(Boolean)
    .join(" ");
}

function makeFacts(row, latency) {
  const station = stationOf(row);
  const pairs = [
    ["Time", `${dayAndTime(times[row], 3)} UTC`],
    ["Station", station],
  ];
  if (!isEvent(row)) pairs.push(["From", senders[row] ? `CSMS to ${station}` : `${station} to CSMS`]);
  if (actionOf(row) && isAnswer(row)) pairs.push(["Action", shown(actionOf(row))]);
  if (connections[row]) pairs.push(["Connection", String(connections[row])]);
  if (latency >= 0) pairs.push(["Latency", length(latency)]);
  if (isEvent(row) && labelOf(row)) pairs.push(["Reason", shown(labelOf(row))]);
  return make("dl", {}, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function close() {
  if (opened < 0) return false;
  opened = -1;
  byId("details").hidden = true;
  byId("list").focus({ preventScroll: true });
  drawList();
  return true;
}

function copy(text, button) {
  const done = () => {
    button.textContent = "Copied";
  };
  const failed = () => {
    button.textContent = "Not allowed here";
  };
  if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, failed);
  else failed();
}

// JSON with indents. Its tokens stay as they are: numbers keep their digits, and names that stand twice stay twice.
function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return [shown(text)];
  }
  if (text.length > 200000) return [shown(text)];
  const parts = [],
    tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) || [];
  let depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  tokens.forEach((token, index) => {
    const next = tokens[index + 1];
    if (token === "{" || token === "[") {
      if (next === "}" || next === "]") parts.push(token);
      else {
        depth++;
        parts.push(token, line());
      }
    } else if (token === "}" || token === "]") {
      if (tokens[index - 1] !== "{" && tokens[index - 1] !== "[") {
        depth--;
        parts.push(line());
      }
      parts.push(token);
    } else if (token === ",") parts.push(",", line());
    else if (token === ":") parts.push(": ");
    else {
      const kind = next === ":" ? "key" : token[0] === '"' ? "string" : "number";
      parts.push(make("span", { class: kind }, shown(token)));
    }
  });
  return parts;
}
