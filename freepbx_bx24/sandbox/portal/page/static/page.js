// The page's only program: it hears what the portal knows, and shows it. Whatever comes from calls and clients becomes
// text (textContent), never HTML: anybody can send a name over the telephone or a web form.

const state = new Map(); // key -> item, as the server has it
const LOST_SECONDS = 20; // how long a card that was taken away is still talked about
const NOTICE_SECONDS = 60;
const FEWEST_SCREENS = 4;
const DIRECTIONS = {
  incoming: ["↙", "Incoming call"], outgoing: ["↗", "Outgoing call"], redirected: ["↪", "Redirected call"],
  callback: ["↺", "Callback"], info: ["✆", "Information call"],
};
const TYPES = { contact: "contact", company: "company", lead: "lead", deal: "deal" };
const ACTION_TOKEN = document.querySelector('meta[name="action-token"]').content;
let clockAhead = 0; // seconds that the portal's clock is ahead of the browser's

const byId = (id) => document.getElementById(id);
const now = () => Date.now() / 1000 + clockAhead;
const items = (kind) => [...state].filter(([key]) => key.startsWith(`${kind}:`)).map(([, item]) => item);

// -- small helpers for elements ---------------------------------------------------------------------------------------

function element(tag, classes = "", ...children) {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  made.append(...children);
  return made;
}

function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

// Makes the children of `parent` those of `wanted` ([key, item]); what is there stays, so that nothing loses the focus
// and a recording goes on playing.
function keep(parent, wanted, make, fill) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const keys = new Set(wanted.map(([key]) => key));
  for (const [key, child] of known) if (!keys.has(key)) child.remove();
  let place = parent.firstElementChild;
  for (const [key, item] of wanted) {
    let child = known.get(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    fill(child, item);
  }
}

function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, "0"));
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${parts.join(":")}` : `${Number(parts[0])}:${parts[1]}`;
}

function phone(number) {
  const russian = /^\+7(\d{3})(\d{3})(\d{2})(\d{2})$/.exec(number);
  return russian ? `+7 ${russian[1]} ${russian[2]}-${russian[3]}-${russian[4]}` : number;
}

const personName = (userId) => state.get(`person:${userId}`)?.name ?? `User ${userId}`;
const clientName = (call) => call.client || phone(call.number);
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

// -- screens ----------------------------------------------------------------------------------------------------------

// What a person's screen shows: cards, cards that have just gone, and notices; each with a key of its own.
function onScreens() {
  const found = new Map();
  const put = (userId, key, item) => {
    if (!found.has(userId)) found.set(userId, []);
    found.get(userId).push([key, item]);
  };
  for (const call of items("call").sort((a, b) => b.place - a.place)) {
    for (const card of call.cards) {
      if (card.shown) put(card.user_id, `shown:${call.call_id}`, { call, card });
      else if (now() - card.since < LOST_SECONDS) put(card.user_id, `lost:${call.call_id}`, { call, card });
    }
  }
  for (const [key, notice] of state) {
    if (key.startsWith("notice:") && now() - notice.time < NOTICE_SECONDS) put(notice.user_id, key, { notice });
  }
  return found;
}

function showScreens() {
  const found = onScreens();
  const me = Number(byId("me").value);
  const people = items("person").filter((person) => person.extension).sort((a, b) => Number(a.extension) - Number(b.extension));
  const wanted = new Set([me, ...found.keys()]);
  for (const person of people) if (wanted.size < FEWEST_SCREENS) wanted.add(person.user_id);
  const shown = items("person").filter((person) => wanted.has(person.user_id));
  shown.sort((a, b) => Number(a.extension || 1e9) - Number(b.extension || 1e9));
  keep(byId("screens"), shown.map((person) => [String(person.user_id), person]), makeScreen, (screen, person) => {
    screen.classList.toggle("mine", person.user_id === me);
    say(screen.querySelector(".name"), person.name);
    say(screen.querySelector(".extension"), person.extension || "–");
    const cards = found.get(person.user_id) ?? [];
    keep(screen.querySelector(".cards"), cards, makeCard, fillCard);
    screen.querySelector(".empty").hidden = cards.length > 0;
  });
}

function makeScreen(person) {
  const title = element("h3", "", element("span", "extension"), element("span", "name"));
  title.id = `screen-${person.user_id}`;
  const screen = element("section", "screen", title, element("div", "cards"), element("p", "empty", "No card"));
  screen.setAttribute("aria-labelledby", title.id);
  screen.dataset.user = person.user_id;
  return screen;
}

function makeCard({ notice }) {
  if (notice) return element("article", "card notice", element("p", "kind", "Notification"), element("p", "text"));
  const foot = element("p", "foot", element("span", "timer"), element("span", "others"));
  return element("article", "card", element("p", "kind"), element("p", "who"), element("p", "number"), foot);
}

function fillCard(made, { call, card, notice }) {
  if (notice) return say(made.querySelector(".text"), notice.text);
  const [arrow, kind] = DIRECTIONS[call.direction];
  made.classList.toggle("lost", !card.shown);
  say(made.querySelector(".kind"), card.shown ? `${arrow} ${kind}${call.line ? ` · ${call.line}` : ""}` : "Card closed");
  say(made.querySelector(".who"), clientName(call));
  say(made.querySelector(".number"), call.client && card.shown ? phone(call.number) : "");
  const others = call.cards.filter((other) => other.shown && other.user_id !== card.user_id);
  const names = others.map((other) => personName(other.user_id)).join(", ");
  const timer = made.querySelector(".timer");
  if (card.shown && call.open) timer.dataset.since = call.started;
  else delete timer.dataset.since;
  if (!timer.dataset.since) say(timer, "");
  const withOthers = card.shown ? `Also on the screen of ${names}` : `Now on the screen of ${names}`;
  say(made.querySelector(".others"), !call.open ? "The call has ended" : names ? withOthers : "");
}

// -- the call log -----------------------------------------------------------------------------------------------------

function showCalls() {
  const calls = items("call").sort((a, b) => b.place - a.place);
  keep(byId("calls"), calls.map((call) => [call.call_id, call]), makeRow, fillRow);
  byId("no-calls").hidden = calls.length > 0;
}

function makeRow() {
  const time = element("th", "", element("span", "clock"), element("small", "direction"));
  time.scope = "row";
  const cell = (label, ...children) => {
    const made = element("td", "", ...children);
    if (label) made.dataset.label = label;
    return made;
  };
  const talk = cell("Talk", element("span", "seconds timer"));
  talk.classList.add("talk");
  return element("tr", "", time,
    cell("", element("strong", "who"), element("span", "tag"), element("small", "number")),
    cell("Line", element("span", "line")),
    cell("", element("span", "person"), element("small", "cards")),
    cell("", element("span", "outcome"), element("small", "reason")),
    talk, cell("", element("div", "recording")));
}

function fillRow(row, call) {
  const put = (place, text) => say(row.querySelector(`.${place}`), text);
  const [arrow, kind] = DIRECTIONS[call.direction];
  put("clock", clock(call.started));
  put("direction", `${arrow} ${kind}`);
  put("who", clientName(call));
  put("tag", call.new_client ? `new ${TYPES[call.client_type] ?? ""}` : TYPES[call.client_type] ?? "");
  put("number", call.client ? phone(call.number) : "");
  put("line", call.line || "–");
  put("person", personName(call.person));
  const seen = call.cards.map((card) => `${personName(card.user_id)}${card.shown ? " (open)" : ""}`);
  put("cards", seen.length ? `Card: ${seen.join(", ")}` : "");
  put("outcome", call.outcome);
  row.querySelector(".outcome").className = `outcome ${call.open ? "open" : call.tone}`;
  put("reason", call.reason);
  const seconds = row.querySelector(".seconds");
  delete seconds.dataset.since;
  if (call.open) seconds.dataset.since = call.started;
  else say(seconds, call.talk_seconds ? duration(call.talk_seconds) : "–");
  showRecording(row.querySelector(".recording"), call);
}

function showRecording(place, call) {
  const wanted = call.recording ? String(call.recording.file_id) : "";
  if ((place.dataset.file ?? "") === wanted) return;
  place.dataset.file = wanted;
  place.replaceChildren();
  if (!wanted) return;
  const player = element("audio");
  player.controls = true;
  player.preload = "none";
  player.src = `/recordings/${encodeURIComponent(call.call_id)}`;
  player.setAttribute("aria-label", `Recording of the call with ${clientName(call)}`);
  player.addEventListener("error", () => place.replaceChildren(element("small", "", "The recording is no longer kept.")));
  place.append(player);
}

// -- what people choose from ------------------------------------------------------------------------------------------

function showClients() {
  const clients = items("client").sort((a, b) => Number(a.made_by_call) - Number(b.made_by_call)
    || (a.made_by_call ? b.entity_id - a.entity_id : 0));
  const make = () => element("li", "", element("p", "client-name", element("span", "name"), element("span", "tag")), element("div"));
  keep(byId("clients"), clients.map((client) => [`${client.entity_type}:${client.entity_id}`, client]), make, (row, client) => {
    say(row.querySelector(".name"), client.name);
    say(row.querySelector(".tag"), TYPES[client.entity_type.toLowerCase()] ?? "");
    keep(row.lastElementChild, client.phones.map((number) => [number, number]), () => element("button"), (button, number) => {
      button.type = "button";
      button.dataset.client = row.dataset.key;
      button.setAttribute("aria-label", `Call ${client.name}, ${number}`);
      say(button, number);
      button.onclick = () => click(number, client);
    });
  });
}

function showChoices() {
  const people = items("person").filter((person) => person.extension).sort((a, b) => Number(a.extension) - Number(b.extension));
  options(byId("me"), people.map((person) => [String(person.user_id), `${person.extension} ${person.name}`]));
  const lines = items("line").map((line) => [line.number, line.name ? `${line.name} (${line.number})` : line.number]);
  for (const id of ["click-line", "callback-line"]) options(byId(id), [["", "Default"], ...lines]);
}

function options(select, wanted) {
  keep(select, wanted.map(([value, text]) => [value, { value, text }]), () => element("option"), (option, { value, text }) => {
    option.value = value;
    say(option, text);
  });
}

function showTroubles() {
  const troubles = state.get("troubles") ?? {};
  for (const button of document.querySelectorAll("[data-trouble]")) {
    button.setAttribute("aria-checked", String(troubles[button.dataset.trouble] === true));
  }
}

// -- what people do ---------------------------------------------------------------------------------------------------

async function ask(path, body) {
  const problem = byId("problem");
  try {
    const answer = await fetch(path, {
      method: "POST", body: JSON.stringify(body),
      headers: { "Content-Type": "application/json", "X-Action-Token": ACTION_TOKEN },
    });
    problem.hidden = answer.ok;
    if (!answer.ok) say(problem, (await answer.json()).error);
    return answer.ok;
  } catch {
    problem.hidden = false;
    say(problem, "The sandbox does not answer. Is it still running?");
    return false;
  }
}

function click(number, client = null) {
  return ask("/click", {
    user_id: Number(byId("me").value), number, line: byId("click-line").value,
    entity_type: client?.entity_type ?? "", entity_id: client?.entity_id ?? 0,
  });
}

byId("dial").addEventListener("submit", (event) => {
  event.preventDefault();
  click(event.target.elements.number.value);
});
byId("callback").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { number, text, line } = event.target.elements;
  if (await ask("/callback", { number: number.value, text: text.value, line: line.value })) {
    say(byId("news"), "The form was sent.");
    event.target.reset();
  }
});
for (const button of document.querySelectorAll("[data-trouble]")) {
  button.addEventListener("click", () => ask("/trouble", {
    name: button.dataset.trouble, on: button.getAttribute("aria-checked") !== "true",
  }));
}
byId("me").addEventListener("change", showScreens);

// -- hearing of changes -----------------------------------------------------------------------------------------------

// For those who do not see the screen: whose card came up.
function announce(key, before, item) {
  if (!key.startsWith("call:") || !item) return;
  const had = new Set((before?.cards ?? []).filter((card) => card.shown).map((card) => card.user_id));
  const fresh = item.cards.filter((card) => card.shown && !had.has(card.user_id)).map((card) => personName(card.user_id));
  if (fresh.length) say(byId("news"), `${DIRECTIONS[item.direction][1]}, ${clientName(item)}: card for ${fresh.join(", ")}`);
}

function show() {
  showTroubles();
  showChoices();
  showClients();
  showScreens();
  showCalls();
  tick();
}

function tick() {
  for (const timer of document.querySelectorAll("[data-since]")) say(timer, duration(now() - Number(timer.dataset.since)));
}

function live(name, text) {
  byId("live").dataset.state = name;
  say(byId("live"), text);
}

function listen() {
  const source = new EventSource("/changes");
  source.addEventListener("open", () => live("live", "Live"));
  source.addEventListener("changes", (event) => {
    const changes = JSON.parse(event.data);
    // The sandbox was started anew: its page has another token.
    if (changes.whole && state.size) return location.reload();
    clockAhead = changes.now - Date.now() / 1000;
    for (const [key, item] of Object.entries(changes.items)) {
      if (!changes.whole) announce(key, state.get(key), item);
      if (item === null) state.delete(key);
      else state.set(key, item);
    }
    show();
  });
  source.addEventListener("error", () => {
    live("trouble", "Connection lost, trying again");
    // The browser tries again by itself after a lost connection, but not after an answer that it did not like.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 2000);
  });
}

listen();
setInterval(() => { tick(); showScreens(); }, 1000);
