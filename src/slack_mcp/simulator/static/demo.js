"use strict";
// Everything that people or the bot wrote reaches the page through textContent only.

const byId = (id) => document.getElementById(id);
const state = { team: null, users: new Map(), channels: new Map(), current: null, thread: null };

async function load() {
  const answer = await fetch("/demo/state");
  if (!answer.ok) throw new Error(`state: HTTP ${answer.status}`);
  const body = await answer.json();
  state.team = body.team;
  state.users = new Map(body.users.map((user) => [user.id, user]));
  state.channels = new Map(body.channels.map((channel) => [channel.id, {
    ...channel, messages: new Map(channel.messages.map((message) => [message.ts, message])),
  }]));
  if (!state.channels.has(state.current)) state.current = body.channels[0]?.id ?? null;
  render();
}

function render() {
  const bot = state.users.get(state.team.bot_user_id);
  byId("team").textContent = `${state.team.name} (simulated)`;
  byId("mention").textContent = `@${bot.name}`;
  renderUsers();
  renderChannels();
  renderLog();
}

function renderUsers() {
  const select = byId("user");
  const chosen = select.value;
  select.replaceChildren(...[...state.users.values()].filter((user) => !user.is_bot).map((user) => {
    const option = make("option", "", user.name);
    option.value = user.id;
    return option;
  }));
  if (state.users.has(chosen)) select.value = chosen;
}

function renderChannels() {
  byId("channels").replaceChildren(...[...state.channels.values()].map((channel) => {
    const button = make("button", "", nameOf(channel));
    button.type = "button";
    button.setAttribute("aria-current", String(channel.id === state.current));
    button.addEventListener("click", () => {
      state.current = channel.id;
      state.thread = null;
      if (channel.is_im) byId("user").value = channel.user;
      render();
      byId("text").focus();
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

function renderLog() {
  const channel = state.channels.get(state.current);
  byId("channel").textContent = channel ? nameOf(channel) : "No channel";
  byId("log").replaceChildren();
  const messages = channel ? [...channel.messages.values()].sort((a, b) => (a.ts < b.ts ? -1 : 1)) : [];
  for (const message of messages) place(message);
  byId("log").scrollTop = byId("log").scrollHeight;
  renderReplying(channel);
}

// One message at a time, so that a screen reader announces what is new and nothing else.
function place(message) {
  const log = byId("log");
  const wasAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const item = document.getElementById(`m${message.ts}`);
  if (item) item.firstChild.replaceWith(renderBox(message));
  else listFor(message).append(renderItem(message));
  if (wasAtEnd) log.scrollTop = log.scrollHeight;
}

function listFor(message) {
  const root = isReply(message) ? document.getElementById(`m${message.thread_ts}`) : null;
  if (!root) return byId("log");
  if (!root.querySelector("ol")) {
    const list = make("ol", "thread");
    list.setAttribute("aria-label", "Thread");
    root.append(list);
  }
  return root.querySelector("ol");
}

function renderItem(message) {
  const item = document.createElement("li");
  item.id = `m${message.ts}`;
  item.append(renderBox(message));
  return item;
}

function renderBox(message) {
  const box = make("div", message.bot_id ? "message bot" : "message");
  const when = new Date(Number(message.ts) * 1000);
  const time = make("time", "", when.toLocaleTimeString());
  time.dateTime = when.toISOString();
  box.append(make("span", "who", userName(message.user)), time);
  if (message.edited) box.append(make("span", "edited", "(edited)"));
  const reply = make("button", "reply", "Reply in thread");
  reply.type = "button";
  reply.addEventListener("click", () => enterThread(message));
  box.append(reply, make("p", "text", shown(message.text)));
  return box;
}

function enterThread(message) {
  state.thread = message.thread_ts ?? message.ts;
  renderReplying(state.channels.get(state.current));
  byId("text").focus();
}

function renderReplying(channel) {
  const root = channel?.messages.get(state.thread);
  byId("replying").hidden = !root;
  byId("root").textContent = root ? shown(root.text).slice(0, 60) : "";
}

function change({ action, channel: id, message }) {
  const channel = state.channels.get(id);
  if (!channel) {
    load().catch(fail);
    return;
  }
  if (action === "deleted") channel.messages.delete(message.ts);
  else channel.messages.set(message.ts, message);
  if (id !== state.current) return;
  if (action === "deleted") renderLog();
  else place(message);
  renderReplying(channel);
}

async function send(event) {
  event.preventDefault();
  const box = byId("text");
  const text = box.value.trim();
  if (!text || !state.current) return;
  byId("problem").textContent = "";
  const answer = await fetch("/demo/say", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ channel: state.current, text, user: byId("user").value, thread_ts: state.thread }),
  });
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    throw new Error(body.error ?? `HTTP ${answer.status}`);
  }
  const { ts } = await answer.json();
  // The bot answers a mention in its thread; that is where the conversation goes on.
  if (text.includes(byId("mention").textContent)) state.thread ??= ts;
  box.value = "";
  renderReplying(state.channels.get(state.current));
}

function listen() {
  const source = new EventSource("/demo/stream");
  // What was missed between two connections is in the state, so it is loaded after each one.
  source.addEventListener("ready", () => {
    byId("connection").textContent = "Live";
    load().catch(fail);
  });
  source.addEventListener("message", (event) => change(JSON.parse(event.data)));
  source.addEventListener("error", () => { byId("connection").textContent = "Not connected, trying again…"; });
}

const isReply = (message) => message.thread_ts !== undefined && message.thread_ts !== message.ts;
const userName = (id) => state.users.get(id)?.name ?? id;
const nameOf = (channel) => (channel.is_im ? `${userName(state.team.bot_user_id)} (direct, as ${userName(channel.user)})` : `# ${channel.name}`);
const shown = (text) => text.replace(/<@([A-Z0-9]+)>/g, (_, id) => `@${userName(id)}`)
  .replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");

function make(tag, className, text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

function fail(error) {
  byId("problem").textContent = `That did not work: ${error.message}`;
}

byId("form").addEventListener("submit", (event) => { send(event).catch(fail); });
byId("leave").addEventListener("click", () => { state.thread = null; renderLog(); byId("text").focus(); });
byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    byId("form").requestSubmit();
  }
});
listen();
