// The data: unpacked when they are asked for.

async function unpack(id) {
  const element = byId(id);
  const binary = atob(element.textContent);
  element.remove();
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

let facts,
  total,
  times,
  stations,
  kinds,
  senders,
  actions,
  connections,
  partners,
  labels,
  faults,
  isError,
  unsent,
  unanswered;
let kindNames, names;
const CONNECTED = 6; // the kinds from here on are events

function addUp(steps) {
  const sums = new Float64Array(steps.length);
  for (let index = 0, sum = 0; index < steps.length; index++) sums[index] = sum += steps[index];
  return sums;
}

function readFacts(read) {
  facts = read;
  const rows = read.rows;
  times = addUp(rows.times);
  total = times.length;
  stations = Int32Array.from(rows.stations);
  kinds = Uint8Array.from(rows.kinds);
  senders = Uint8Array.from(rows.senders);
  actions = Int32Array.from(rows.actions);
  connections = rows.connections;
  partners = Int32Array.from(rows.partners);
  labels = rows.labels;
  faults = rows.faults;
  kindNames = read.kinds;
  names = read.names;
  unsent = new Set(rows.unsent);
  unanswered = new Set(rows.unanswered);
  isError = new Uint8Array(total);
  for (const row of addUp(read.errors)) isError[row] = 1;
}

const kindOf = (row) => kindNames[kinds[row]];
const actionOf = (row) => names[actions[row]];
const labelOf = (row) => names[labels[row] || 0];
const faultsOf = (row) => (faults[row] || []).map((each) => names[each]);
const nameOfStation = (number) => shown(facts.stations[number].id) || "no name";
const stationOf = (row) => nameOfStation(stations[row]);
const isEvent = (row) => kinds[row] >= CONNECTED;
const isAnswer = (row) => kindOf(row) === "RESULT" || kindOf(row) === "ERROR";
const partnerOf = (row) => (partners[row] ? row + partners[row] : -1);
const latencyOf = (row) =>
  isAnswer(row) && partners[row] && times[row] && times[partnerOf(row)]
    ? Math.max(0, times[row] - times[partnerOf(row)]) / 1e6
    : -1;

const pieces = new Map(); // number of the piece -> its texts, or the promise of them

function pieceOf(number) {
  if (!pieces.has(number)) {
    const coming = unpack(`texts-${number}`).then((texts) => {
      pieces.set(number, texts);
      return texts;
    });
    pieces.set(number, coming);
  }
  return pieces.get(number);
}

// The text of a row; `undefined`: it is being unpacked, and the list is drawn again when it is there.
function textOf(row) {
  const piece = pieceOf(Math.floor(row / facts.piece));
  if (Array.isArray(piece)) return piece[row % facts.piece];
  piece.then(drawSoon);
  return undefined;
}

async function allTexts() {
  for (let number = 0; number * facts.piece < total; number++) await pieceOf(number);
}
